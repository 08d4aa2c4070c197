"""Sentences, kinds of files and notes: what int8 costs MiniLM, Magika and Basic Pitch.

    python benchmarks/language.py [minilm] [magika=MODEL.onnx] [pitch=MODEL.onnx] [--files FOLDER]

Every model is compiled with the defaults and to float, and judged beside onnxruntime on data that
set no ranges: sentences out of the docstrings of the standard library, files below a folder, and
tunes made of harmonics. The time is that of onnxruntime over that of the NPU, call by call in turn.
"""

import argparse
import ast
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

import maccel_aio
from maccel_aio import sync
from peering import minilm

Array = NDArray[Any]
Feed = dict[str, Array]
_TURNS = 15
_SENTENCES, _FILES, _TUNES = 400, 120, 12
_CALIBRATION = 32
_RATE, _SAMPLES = 22050, 43844
_MAPS = {"onsets": 0.5, "notes": 0.3, "contours": 0.3}  # in the order of the outputs


@dataclass(frozen=True)
class Task:
    """A model, what judges it, what calibrates it, and the words for its answers."""

    model: onnx.ModelProto
    judged: list[Feed]
    known: list[Feed]
    verdict: Callable[[list[list[Array]], list[list[Array]]], str]


def sentences() -> list[str]:
    """Return sentences of the docstrings of the standard library, each once, mixed."""
    found: set[str] = set()
    for path in sorted(Path(ast.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = re.sub(r"\s+", " ", ast.get_docstring(node) or "")
                found |= {s for s in re.split(r"(?<=[a-z])\. ", text) if 40 < len(s) < 400}
    prose = [s for s in sorted(found) if sum(c.isalpha() or c == " " for c in s) > 0.9 * len(s)]
    return [prose[k] for k in np.random.default_rng(0).permutation(len(prose))]


def _tokens(text: str) -> Feed:
    ids = np.zeros((1, minilm.TOKENS), np.int64)
    row = [101, *minilm.pieces(text)[: minilm.TOKENS - 2], 102]
    ids[0, : len(row)] = row
    mask = (np.arange(minilm.TOKENS) < len(row))[None].astype(np.int64)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def _near(want: list[list[Array]], have: list[list[Array]]) -> str:
    units = [np.stack([np.ravel(row[0]) for row in rows]) for rows in (want, have)]
    a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in units)
    cosines = (a * b).sum(1)
    nearest = [(rows @ rows.T - 2 * np.eye(len(rows))).argmax(1) for rows in (a, b)]
    same = (nearest[0] == nearest[1]).mean()
    return (
        f"cosine {cosines.mean():.5f} on average, {cosines.min():.5f} at worst; "
        f"same nearest neighbour {same:.4f} of {len(a)} sentences"
    )


def sentence_task(_: Path | None, __: Path) -> Task:
    """MiniLM, judged by the neighbours of sentences."""
    feeds = [_tokens(text) for text in sentences()[: _SENTENCES + _CALIBRATION]]
    return Task(minilm.minilm(), feeds[:_SENTENCES], feeds[_SENTENCES:], _near)


def _ends(path: Path) -> Array:
    """Return the first and last 1024 bytes of a file without the space around it; 256 is none."""
    data = path.read_bytes()
    head, tail = data[:4096].lstrip()[:1024], data[-4096:].rstrip()[-1024:]
    row = np.full((1, 2048), 256, np.int32)
    row[0, : len(head)] = list(head)
    row[0, 2048 - len(tail) :] = list(tail)
    return row


def _files(folder: Path, count: int) -> list[Path]:
    """Return files below a folder: of every ending one, then of every ending a second, ..."""
    kinds: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size > 64:
            kinds[path.suffix].append(path)
    rng = np.random.default_rng(1)
    mixed = [[own[k] for k in rng.permutation(len(own))] for _, own in sorted(kinds.items())]
    turns = range(max(map(len, mixed), default=0))
    return [own[k] for k in turns for own in mixed if k < len(own)][:count]


def _alike(want: list[list[Array]], have: list[list[Array]]) -> str:
    a, b = ([int(row[0].argmax()) for row in rows] for rows in (want, have))
    same = sum(x == y for x, y in zip(a, b, strict=True))
    return f"same answer for {same} of {len(a)} files of {len(set(a))} kinds"


def file_task(model: Path | None, folder: Path) -> Task:
    """Magika, judged by its answers."""
    feeds = [{"bytes": _ends(path)} for path in _files(folder, _FILES + _CALIBRATION)]
    turned = [feeds[k] for k in np.random.default_rng(2).permutation(len(feeds))]
    return Task(onnx.load(str(model)), turned[_CALIBRATION:], turned[:_CALIBRATION], _alike)


def _tune(seed: int) -> Array:
    """Return two seconds of six notes of five harmonics ``[1, 43844, 1]``."""
    rng, time_ = np.random.default_rng(seed), np.arange(_SAMPLES) / _RATE
    sound = np.zeros(_SAMPLES)
    for _ in range(6):
        pitch = 440 * 2 ** ((rng.integers(40, 88) - 69) / 12)
        start, length, fall = rng.uniform(0, 1.6), rng.uniform(0.2, 0.8), rng.uniform(0.8, 1.6)
        heard = (time_ > start) & (time_ < start + length)
        envelope = heard * np.exp(-3 * np.clip(time_ - start, 0, 9))
        sound += envelope * sum(
            np.sin(2 * np.pi * pitch * h * time_) / h**fall for h in range(1, 6)
        )
    loud: Array = sound / abs(sound).max() * rng.uniform(0.3, 0.9)
    return loud.astype(np.float32)[None, :, None]


def _maps(want: list[list[Array]], have: list[list[Array]]) -> str:
    cells = []
    for k, (what, bar) in enumerate(_MAPS.items()):
        a, b = (np.stack([row[k] for row in rows]) for rows in (want, have))
        x, y = a > bar, b > bar
        union = max(1, int((x | y).sum()))
        cells.append(f"{what}: IoU {(x & y).sum() / union:.4f}, {(x == y).mean():.5f} of cells")
    return "; ".join(cells)


def pitch_task(model: Path | None, _: Path) -> Task:
    """Basic Pitch, judged by the cells of its maps that are over the bar."""
    net = onnx.load(str(model))
    feeds = [{net.graph.input[0].name: _tune(k)} for k in range(2 * _TUNES)]
    return Task(net, feeds[:_TUNES], feeds[_TUNES:], _maps)


TASKS = {"minilm": sentence_task, "magika": file_task, "pitch": pitch_task}


def _faster(float_: Callable[[], object], npu: Callable[[], object]) -> str:
    ratios = []
    for _ in range(_TURNS):
        times = []
        for call in (float_, npu):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        ratios.append(times[0] / times[1])
    return f"{statistics.median(ratios):.2f} [{min(ratios):.2f} .. {max(ratios):.2f}]"


def judge(task: Task, path: Path, precision: str) -> str:
    """Compile a model and return what its answers are worth and how fast they come."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(
        task.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    want = [session.run(None, feed) for feed in task.judged]
    if precision == "float32":
        maccel_aio.compile(task.model, path, precision=precision, measure=0)
    else:
        known = {name: np.stack([feed[name] for feed in task.known]) for name in task.known[0]}
        maccel_aio.compile(task.model, path, calibration=known, measure=0)
    feed = task.judged[0]
    with sync.Accelerator("soft:0") as device, sync.load(path, accelerator=device) as model:
        have = [[x.copy() for x in model.infer(list(f.values()))] for f in task.judged]
        have = [
            [x.reshape(y.shape) for x, y in zip(h, w, strict=True)]
            for h, w in zip(have, want, strict=True)
        ]
        speed = _faster(lambda: session.run(None, feed), lambda: model.infer(list(feed.values())))
    return f"{task.verdict(want, have)}; {speed} times as fast as onnxruntime"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["minilm"], help="minilm, NAME=MODEL.onnx")
    parser.add_argument("--files", type=Path, default=Path(sys.prefix), help="for magika")
    args = parser.parse_args(arguments)
    for text in args.models:
        name, _, path = text.partition("=")
        task = TASKS[name](Path(path) if path else None, args.files)
        for precision in ("int8", "float32"):
            with tempfile.TemporaryDirectory() as folder:
                found = judge(task, Path(folder) / "model.mxq", precision)
            print(f"{name}, {'default' if precision == 'int8' else 'float'}: {found}", flush=True)


if __name__ == "__main__":
    main()
