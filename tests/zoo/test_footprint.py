"""What a process holds in memory that serves a real model and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVE = """
import sys
import numpy as np, anyio, maccel_aio
async def main():
    pixels = np.zeros((224, 224, 3), np.uint8)
    async with maccel_aio.load(sys.argv[1]) as model:
        for _ in range(200):
            await model.infer(pixels)
        with open("/proc/self/status", encoding="ascii") as file:
            print(next(line for line in file if line.startswith("VmHWM")).split()[1])
anyio.run(main)
"""


@pytest.mark.models
@pytest.mark.timeout(300)
def test_serving_the_classifier_takes_less_than_150_megabytes(zoo_model):
    command = [sys.executable, "-c", SERVE, str(zoo_model("efficientnet_lite0"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) * 1024 < 150e6
