"""Compiles one small network into a file, in a process of its own: see test_determinism.py."""

import sys

import maccel_aio
from tests.compiler.onnx_models import Model


def main(path: str, accuracy: str) -> None:
    """Write the model file; `accuracy` is a number of dB, or "none"."""
    m = Model({"x": (1, 4, 12, 12)})
    t = m.add("Relu", m.conv("x", (8, 4, 3, 3), pads=[1] * 4))
    t = m.add("Add", m.conv(t, (8, 8, 3, 3), pads=[1] * 4), t)
    t = m.add("Relu", m.conv(t, (8, 1, 3, 3), pads=[1] * 4, group=8))
    model = m.build(m.conv(t, (4, 8, 1, 1)))
    wanted = None if accuracy == "none" else float(accuracy)
    maccel_aio.compile(model, path, calibration=m.feed(20), accuracy=wanted)


if __name__ == "__main__":
    main(*sys.argv[1:])
