"""The int8 peak of one core, measured by a small C program in the same run as everything else."""

import shutil
import subprocess
import tempfile
from pathlib import Path


class Peak:
    """Measures the peak; knows nothing where there is no compiler or no AVX-512 VNNI."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="peers-")
        self._program = Path(self._folder.name) / "peak"
        source = Path(__file__).with_name("peak.c")
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        self.known = False
        if compiler is None:
            return
        command = [compiler, "-O2", str(source), "-o", str(self._program)]
        built = subprocess.run(command, capture_output=True, check=False)
        self.known = built.returncode == 0 and self._run() is not None

    def _run(self) -> float | None:
        done = subprocess.run([self._program], capture_output=True, text=True, check=False)
        return float(done.stdout) if done.returncode == 0 else None

    def gops(self) -> float:
        """Return operations a second of one core in 1e9 (2 per multiply-accumulate).

        Raises:
            RuntimeError: if it is not known.
        """
        found = self._run() if self.known else None
        if found is None:
            raise RuntimeError("the vpdpbusd peak of this machine is not known")
        return found
