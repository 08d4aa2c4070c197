"""Speech or silence: Silero VAD in int8 beside float, with the state kept by the runtime.

    python benchmarks/speech.py MODEL.onnx [MODEL.onnx ...] --wav A.wav [B.wav ...]

The recordings, 16 kHz and 16 bits, are put in a new order with pauses of faint noise, for a minute
to judge on and for another order to calibrate. Every chunk of 32 ms changes the state that the next
one reads: an input and output of the graph, which `state=` binds, so that an error can pile up.
"""

import argparse
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

import maccel_aio
from maccel_aio import sync
from maccel_aio.compiler import StateOptions

RATE, CHUNK, CONTEXT = 16000, 512, 64
SECONDS, CALIBRATION = 62, 16
SPEECH = 0.5
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Form:
    """One form of the network: its state by input, and whether it asks for the rate."""

    model: onnx.ModelProto
    state: dict[str, tuple[int, ...]]
    rated: bool

    @property
    def results(self) -> list[str]:
        """Outputs that are the next state."""
        return [value.name for value in self.model.graph.output][1:]


def form_of(path: Path) -> Form:
    """Read a network; batches have one element."""
    model = onnx.load(path)
    shapes = {}
    for value in model.graph.input:
        if value.name not in ("input", "sr"):
            dims = value.type.tensor_type.shape.dim
            shapes[value.name] = tuple(d.dim_value or 1 for d in dims)
    return Form(model, shapes, any(value.name == "sr" for value in model.graph.input))


def scene(sounds: list[Floats], seed: int, seconds: int) -> Floats:
    """Return chunks ``[n, 576]`` with the end of the chunk before in front of each."""
    rng, parts = np.random.default_rng(seed), [np.zeros(CONTEXT, np.float32)]
    while sum(map(len, parts)) < seconds * RATE:
        for k in rng.permutation(len(sounds)):
            pause = rng.normal(0, 0.003, int(RATE * rng.uniform(0.5, 2.5)))
            parts += [sounds[k], pause.astype(np.float32)]
    sound = np.concatenate(parts)
    count = seconds * RATE // CHUNK
    return np.stack([sound[k * CHUNK : k * CHUNK + CHUNK + CONTEXT] for k in range(count)])


def exact(form: Form, chunks: Floats) -> tuple[Floats, dict[str, Floats]]:
    """Return onnxruntime's answers and the state that each chunk began with."""
    data = form.model.SerializeToString()
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    state = {name: np.zeros(shape, np.float32) for name, shape in form.state.items()}
    rate = {"sr": np.array(RATE, np.int64)} if form.rated else {}
    answers, states = [], []
    for chunk in chunks:
        states.append(state)
        found, *last = session.run(None, {"input": chunk[None], **state, **rate})
        answers.append(float(np.ravel(found)[0]))
        state = dict(zip(state, last, strict=True))
    begun = {name: np.stack([s[name] for s in states]) for name in form.state}
    return np.array(answers, np.float32), begun


def judge(form: Form, sounds: list[Floats], path: Path) -> str:
    """Compile one form and return what its answers are worth."""
    chunks, known = scene(sounds, 1, SECONDS), scene(sounds, 7, CALIBRATION)
    want, (_, begun) = exact(form, chunks)[0], exact(form, known)
    report = maccel_aio.compile(
        form.model,
        path,
        shapes={"input": (1, CHUNK + CONTEXT), **form.state},
        constants={"sr": np.array(RATE)} if form.rated else None,
        state=StateOptions(dict(zip(form.state, form.results, strict=True))),
        calibration={"input": known[:, None], **begun},
        measure=0,
    )
    with sync.Accelerator("soft:0") as device, sync.load(path, accelerator=device) as model:
        have = np.array([float(np.ravel(model.infer([c[None]])[0])[0]) for c in chunks])
    same = float(((want > SPEECH) == (have > SPEECH)).mean())
    on_cpu = sorted({layer.op for layer in report.layers if layer.where == "cpu"})
    return (
        f"{same:.4f} of {len(chunks)} chunks decided alike (speech in {(want > SPEECH).mean():.2f})"
        f", mean difference {np.abs(want - have).mean():.4f}; on the CPU: {on_cpu or 'nothing'}"
    )


def sound_of(path: Path) -> Floats:
    """Return a recording as values from -1 to 1."""
    with wave.open(str(path)) as file:
        frames = file.readframes(file.getnframes())
    values = np.frombuffer(frames, np.int16).astype(np.float32)
    values /= 32768
    return values


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--wav", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    recordings = [sound_of(path) for path in options.wav]
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            print(f"{model.name}: {judge(form_of(model), recordings, Path(folder) / 'vad.mxq')}")
