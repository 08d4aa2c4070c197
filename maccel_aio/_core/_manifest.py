"""The manifest of a model file as typed objects (docs/mxq.md says what each field means)."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from maccel_aio._core._state_spec import StateSpec, check_state, parse_state
from maccel_aio._core._types import TensorSpec
from maccel_aio.errors import ModelFormatError

FORMAT = 1
_LAYOUTS = ("NCHW", "NHWC", "ND")
_DTYPES = frozenset(
    (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "float32", "float64", "complex64", "complex128", "object",
    )
)  # fmt: skip


class Port(NamedTuple):
    """One value that goes in or out of a segment."""

    name: str
    #: Physical dimension k of the device tensor is ONNX dimension perm[k]; empty for CPU segments.
    perm: tuple[int, ...]


class Segment(NamedTuple):
    """A part of the model that runs in one place."""

    #: "npu" or "cpu".
    kind: str
    name: str
    #: Section indices; -1 where the kind has none.
    program: int
    consts: int
    onnx: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    reason: str


class Variant(NamedTuple):
    """One set of shapes that the model was compiled for."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    segments: tuple[Segment, ...]
    #: Specs of every value: inputs, outputs and what passes between segments.
    values: dict[str, TensorSpec]

    @property
    def is_single_bundle(self) -> bool:
        """Whether one NPU program is the whole model, with its inputs and outputs in order."""
        if len(self.segments) != 1 or self.segments[0].kind != "npu":
            return False
        segment = self.segments[0]
        return [port.name for port in segment.inputs] == [spec.name for spec in self.inputs] and [
            port.name for port in segment.outputs
        ] == [spec.name for spec in self.outputs]

    def only_bundle(self, index: int) -> Variant:
        """Return the variant that is NPU bundle ``index`` alone, without CPU segments.

        Raises:
            IndexError: if there is no such bundle.
        """
        bundles = [segment for segment in self.segments if segment.kind == "npu"]
        segment = bundles[index]
        inputs = tuple(self.values[port.name] for port in segment.inputs)
        outputs = tuple(self.values[port.name] for port in segment.outputs)
        return Variant(inputs, outputs, (segment,), self.values)


class Layer(NamedTuple):
    """One row of the layer table."""

    number: int
    name: str
    op: str
    segment: str
    macs: int
    precision: str
    output_shape: tuple[int, ...]
    sqnr_db: float | None


class Manifest(NamedTuple):
    """Everything that a model file says of itself."""

    name: str
    profile: str
    core_modes: tuple[str, ...]
    variants: tuple[Variant, ...]
    layers: tuple[Layer, ...]
    provenance: dict[str, Any]
    #: What it keeps from one call to the next, or None.
    state: StateSpec | None = None


def parse_manifest(data: bytes, section_count: int) -> Manifest:
    """Parse and check a manifest.

    Args:
        data: UTF-8 JSON.
        section_count: number of sections in the file; references must stay below.

    Raises:
        ModelFormatError: if it is not JSON, lacks a field, or contradicts itself.
    """
    try:
        root = json.loads(data)
        if root["format"] != FORMAT:
            raise ModelFormatError(f"manifest format {root['format']} is not known, only {FORMAT}")
        state = parse_state(root.get("state"))
        hidden = frozenset() if state is None else state.hidden
        manifest = Manifest(
            name=str(root["name"]),
            profile=str(root["target"]["profile"]),
            core_modes=tuple(map(str, root["target"]["core_modes"])),
            variants=tuple(_variant(entry, hidden) for entry in root["variants"]),
            layers=tuple(_layer(entry) for entry in root.get("layers", ())),
            provenance=dict(root.get("provenance") or {}),
            state=state,
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as problem:
        if isinstance(problem, ModelFormatError):
            raise
        what = f"{type(problem).__name__}: {problem}"
        raise ModelFormatError(f"the manifest is malformed ({what})") from problem
    _check(manifest, section_count)
    return manifest


def _variant(entry: dict[str, Any], hidden: frozenset[str]) -> Variant:
    inputs = tuple(_bare(_spec(item), hidden) for item in entry["inputs"])
    outputs = tuple(_bare(_spec(item), hidden) for item in entry["outputs"])
    segments = tuple(_segment(item) for item in entry["segments"])
    values = {name: _value(name, item) for name, item in (entry.get("tensors") or {}).items()}
    values.update((spec.name, spec) for spec in (*outputs, *inputs))
    return Variant(inputs, outputs, segments, values)


def _spec(entry: dict[str, Any]) -> TensorSpec:
    batch_axis = entry["batch_axis"]
    shape = _dims(entry["shape"])
    layout = str(entry["layout"])
    if batch_axis not in (None, 0) or (batch_axis == 0 and (not shape or shape[0] != 1)):
        raise ModelFormatError(f"batch_axis {batch_axis} does not suit shape {list(shape)}")
    if layout not in _LAYOUTS or (layout != "ND" and len(shape) != 4):
        raise ModelFormatError(f"layout {layout} does not suit shape {list(shape)}")
    return TensorSpec(
        name=str(entry["name"]),
        dtype=_dtype(entry["dtype"]),
        shape=shape,
        layout=layout,
        batch_axis=batch_axis,
        scale=float(entry["scale"]),
        zero_point=int(entry["zero_point"]),
        device_dtype=str(entry["device_dtype"]),
        preprocess=entry.get("preprocess"),
    )


def _bare(spec: TensorSpec, hidden: frozenset[str]) -> TensorSpec:
    """Return what no caller sees without a layout of callers."""
    return spec._replace(layout="ND") if spec.name in hidden else spec


def _value(name: str, entry: dict[str, Any]) -> TensorSpec:
    return TensorSpec(
        name, _dtype(entry["dtype"]), _dims(entry["shape"]), "ND", None, 1.0, 0, "float32", None
    )


def _segment(entry: dict[str, Any]) -> Segment:
    kind = entry["kind"]
    if kind not in ("npu", "cpu"):
        raise ModelFormatError(f"segment kind {kind!r} is not known")
    return Segment(
        kind=kind,
        name=str(entry["name"]),
        program=int(entry["program"]) if kind == "npu" else -1,
        consts=int(entry["consts"]) if kind == "npu" else -1,
        onnx=int(entry["onnx"]) if kind == "cpu" else -1,
        inputs=tuple(_port(item) for item in entry["inputs"]),
        outputs=tuple(_port(item) for item in entry["outputs"]),
        reason=str(entry.get("reason", "")),
    )


def _port(entry: dict[str, Any]) -> Port:
    return Port(str(entry["name"]), tuple(int(axis) for axis in entry.get("perm", ())))


def _layer(entry: dict[str, Any]) -> Layer:
    sqnr = entry.get("sqnr_db")
    return Layer(
        number=int(entry["index"]),
        name=str(entry["name"]),
        op=str(entry["op"]),
        segment=str(entry["segment"]),
        macs=int(entry["macs"]),
        precision=str(entry["precision"]),
        output_shape=_dims(entry["output_shape"]),
        sqnr_db=None if sqnr is None else float(sqnr),
    )


def _dims(entry: list[int]) -> tuple[int, ...]:
    return tuple(int(dim) for dim in entry)


def _dtype(entry: str) -> str:
    if entry not in _DTYPES:
        raise ModelFormatError(f"dtype {entry!r} is not known")
    return entry


def _check(manifest: Manifest, section_count: int) -> None:
    if not manifest.variants:
        raise ModelFormatError("the manifest has no variants")
    for variant in manifest.variants:
        if not variant.outputs or not variant.segments:
            raise ModelFormatError("a variant lacks outputs or segments")
        _check_flow(variant, section_count)
        if manifest.state is not None:
            inputs = {spec.name: spec for spec in variant.inputs}
            outputs = {spec.name: spec for spec in variant.outputs}
            check_state(manifest.state, inputs, outputs)


def _check_flow(variant: Variant, section_count: int) -> None:
    known = {spec.name for spec in variant.inputs}
    for segment in variant.segments:
        sections = (segment.program, segment.consts) if segment.kind == "npu" else (segment.onnx,)
        if any(not 0 <= index < section_count for index in sections):
            raise ModelFormatError(f"segment {segment.name} refers to a section that is not there")
        for port in segment.inputs:
            if port.name not in known:
                raise ModelFormatError(f"segment {segment.name} reads {port.name!r} too early")
        known.update(port.name for port in segment.outputs)
        for port in (*segment.inputs, *segment.outputs):
            _check_port(variant, segment, port)
    missing = [spec.name for spec in variant.outputs if spec.name not in known]
    if missing:
        raise ModelFormatError(f"no segment makes the output {missing[0]!r}")


def _check_port(variant: Variant, segment: Segment, port: Port) -> None:
    spec = variant.values.get(port.name)
    if spec is None:
        raise ModelFormatError(f"the value {port.name!r} of segment {segment.name} has no shape")
    if segment.kind == "npu" and any(dim < 1 for dim in spec.shape):
        raise ModelFormatError(
            f"shape {list(spec.shape)} of {port.name!r} has a dimension that is not fixed: "
            f"segment {segment.name} runs on the NPU"
        )
    if segment.kind == "npu" and sorted(port.perm) != list(range(len(spec.shape))):
        raise ModelFormatError(
            f"perm {list(port.perm)} of {port.name!r} does not suit shape {list(spec.shape)}"
        )
