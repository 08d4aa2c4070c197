"""The files of a comparison, made once and kept: float model, peers' int8 model, ours."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, version_converter

import maccel_aio
from maccel_aio import zoo
from maccel_aio.compiler import QuantizeOptions
from peering.graph import OPSET
from peering.models import Subject
from peering.pictures import Preprocess
from peering.recipes import RECIPES, write_quantised

Progress = Callable[[str], None]

PIXELS = "pixels"
"""Name of the input that takes raw pixels in the models of the second table."""


def _silent(_what: str) -> None:
    """Tell nobody what is being made."""


@dataclass(frozen=True)
class Files:
    """What the engines load.

    Attributes:
        real: the float model with fixed shapes.
        quantised: the int8 version that a peer likes most, by peer.
        pixels: onnxruntime's with the preprocessing in front; None for models without pictures.
        ours: our compiled file.
    """

    real: Path
    quantised: dict[str, Path]
    pixels: Path | None
    ours: Path


class Workshop:
    """Makes the files of one model; each is kept under a name that says what it was made of.

    Args:
        subject: the model.
        folder: where the files are kept; the zoo's cache when left out.
    """

    def __init__(self, subject: Subject, folder: Path | None = None) -> None:
        self.subject = subject
        self._folder = (folder or zoo.home() / "peers") / subject.name
        self._folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The float model with fixed shapes."""
        made = self.subject.build()
        constants = {c.name for c in made.graph.initializer}
        for value in made.graph.input:
            if value.name in constants:
                continue
            shape = self.subject.shapes[value.name]
            for dim, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
                dim.dim_value = size
        for value in made.graph.output:
            value.type.tensor_type.ClearField("shape")
        del made.graph.value_info[:]
        if next(o.version for o in made.opset_import if o.domain == "") < OPSET:
            # Peers quantise per channel from version 13 on.
            made = version_converter.convert_version(made, OPSET)
        return onnx.shape_inference.infer_shapes(made)

    @cached_property
    def _digest(self) -> str:
        data = self.model.SerializeToString(deterministic=True)
        preprocess = self.subject.preprocess
        how = json.dumps(None if preprocess is None else asdict(preprocess))
        return hashlib.sha256(data + how.encode()).hexdigest()[:12]

    def files(self, progress: Progress = _silent) -> Files:
        """Return all files; makes those that are missing."""
        real = self._made("float.onnx", "", self._write_float, progress)
        quantised = {
            peer: self.quantised(recipe, progress) for peer, recipe in self.subject.recipes.items()
        }
        pixels = None
        preprocess = self.subject.preprocess
        if preprocess is not None:
            source = quantised["onnxruntime"]
            pixels = self._made(
                "pixels.onnx",
                self._peer(self.subject.recipes["onnxruntime"]),
                lambda path: onnx.save(with_pixels(onnx.load(source), preprocess), path),
                progress,
            )
        return Files(real, quantised, pixels, self.ours(progress=progress))

    def quantised(self, recipe: str, progress: Progress = _silent) -> Path:
        """Return the QDQ model of a recipe of `RECIPES`."""
        real = self._made("float.onnx", "", self._write_float, progress)
        feeds = self.subject.feeds
        return self._made(
            "int8.onnx",
            self._peer(recipe),
            lambda path: write_quantised(RECIPES[recipe], real, path, feeds()),
            progress,
        )

    def ours(
        self,
        variant: str = "",
        options: QuantizeOptions | None = None,
        progress: Progress = _silent,
    ) -> Path:
        """Return our file, compiled with the defaults or with the options of a named variant."""
        version = f"-{compiler_digest()}" + (f"-{variant}" if variant else "")
        return self._made("mxq", version, partial(self._write_ours, options), progress)

    def _peer(self, recipe: str) -> str:
        return f"-ort{onnxruntime.__version__}-{recipe}"

    def _made(
        self,
        suffix: str,
        version: str,
        write: Callable[[Path], object],
        progress: Progress,
    ) -> Path:
        path = self._folder / f"{self._digest}{version}.{suffix}"
        if not path.exists():
            progress(f"{self.subject.name}: making {path.name}")
            part = path.with_name(f".{path.name}")
            write(part)
            part.replace(path)
        return path

    def _write_float(self, path: Path) -> None:
        onnx.save(self.model, path)

    def _write_ours(self, options: QuantizeOptions | None, path: Path) -> None:
        how = self.subject.preprocess
        pixels = None if how is None else {"mean": how.mean, "std": how.std, "channels": "RGB"}
        maccel_aio.compile(
            self.model,
            path,
            calibration=self.subject.feeds(),
            preprocess=pixels,
            name=self.subject.name,
            quantize=options,
            measure=0,
        )


def compiler_digest() -> str:
    """Return a digest of our compiler's sources: another compiler makes other files."""
    sources = sorted((Path(maccel_aio.__file__).parent / "compiler").rglob("*.py"))
    found = hashlib.sha256()
    for path in sources:
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def with_pixels(model: onnx.ModelProto, how: Preprocess) -> onnx.ModelProto:
    """Return `model` with its preprocessing in front: the input is uint8 ``[1, h, w, 3]``."""
    graph = model.graph
    constants = {c.name for c in graph.initializer}
    (value,) = [value for value in graph.input if value.name not in constants]
    batch, channels, height, width = (d.dim_value for d in value.type.tensor_type.shape.dim)
    factors = {"pixels.mean": how.mean, "pixels.scale": tuple(1 / s for s in how.std)}
    graph.initializer.extend(
        numpy_helper.from_array(np.array(factor, np.float32), name)
        for name, factor in factors.items()
    )
    front = [
        helper.make_node("Cast", [PIXELS], ["pixels.real"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["pixels.real", "pixels.mean"], ["pixels.centred"]),
        helper.make_node("Mul", ["pixels.centred", "pixels.scale"], ["pixels.scaled"]),
        helper.make_node("Transpose", ["pixels.scaled"], [value.name], perm=[0, 3, 1, 2]),
    ]
    nodes = [*front, *graph.node]
    graph.input.remove(value)
    shape = [batch, height, width, channels]
    graph.input.append(helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, shape))
    del graph.node[:]
    graph.node.extend(nodes)
    return model
