"""A model in device memory: what loading a file makes, shared by the faces. Blocking."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from maccel_aio._core import _binding, _graveyard
from maccel_aio._core._arrays import Planner, Wire
from maccel_aio._core._cpu import CpuSegment
from maccel_aio._core._file import ModelFile
from maccel_aio._core._state import State
from maccel_aio._core._types import CoreMode, LayerTime
from maccel_aio.errors import ClosedError, MaccelError, ModelFormatError, UnsupportedError

if TYPE_CHECKING:
    import os

    from maccel_aio._core._config import ModelConfig
    from maccel_aio._core._device import NativeDevice
    from maccel_aio._core._manifest import Manifest, Port, Segment, Variant

_MODE_NAMES = {mode: mode.name.lower() for mode in CoreMode}


class Bundle:
    """One NPU program in device memory.

    Args:
        device: where it is.
        handle: native model.
    """

    def __init__(self, device: NativeDevice, handle: _binding.Handle) -> None:
        self.device = device
        self.handle = device.adopt(handle)
        info = _binding.model_info(handle)
        self.info = info
        self.inputs = [_binding.model_tensor(handle, False, i) for i in range(info.num_inputs)]
        self.outputs = [_binding.model_tensor(handle, True, i) for i in range(info.num_outputs)]

    def dispose(self) -> None:
        """Unload it; while a request uses it the graveyard keeps it."""
        if not self.try_dispose():
            _graveyard.bury(self)

    def try_dispose(self) -> bool:
        """Unload it if no request uses it."""
        if self.device.forked:
            return True
        if not _binding.unload_model(self.handle):
            return False
        self.device.forget(self.handle)
        return True


class Stage(NamedTuple):
    """One segment, ready to run: exactly one of bundle and cpu is set."""

    segment: Segment
    bundle: Bundle | None
    #: For values as (items, *ONNX shape).
    planner: Planner | None
    cpu: CpuSegment | None


class Loaded(NamedTuple):
    """One variant, ready to run."""

    variant: Variant
    stages: tuple[Stage, ...]
    #: The planner for arrays in user order, if one NPU program is the whole model.
    direct: Planner | None
    #: What the configuration says of the variant, nanoseconds; 0 for nothing.
    early_ns: int = 0
    finish_ns: int = 0


class Resident:
    """All variants of one model on one device. Any thread.

    Args:
        device: open.
        path: of the file.
        config: which cores.

    Raises:
        ModelFormatError: if the file is not a sound model.
        UnsupportedError: if the file does not allow the core mode.
        MaccelError: if the device refuses it.
    """

    def __init__(
        self, device: NativeDevice, path: str | os.PathLike[str], config: ModelConfig
    ) -> None:
        self.device = device
        self.config = config
        self.bundles: list[Bundle] = []
        self._lock = threading.Lock()
        self._owners = 1
        with ModelFile(path) as file:
            self.path = file.path
            self.manifest: Manifest = file.manifest
            try:
                self._check_mode()
                variants = enumerate(self.manifest.variants)
                self.loaded = tuple(self._load(file, number, v) for number, v in variants)
                self.state = self._make_state()
            except BaseException as problem:  # nothing may stay behind on the device
                for bundle in self.bundles:
                    bundle.dispose()
                if isinstance(problem, MaccelError) and problem.path is None:
                    problem.path = self.path
                raise

    def _make_state(self) -> State | None:
        spec = self.manifest.state
        if spec is None or self.config.get_forced_npu_bundle_index() >= 0:
            return None  # a bundle alone has all of its tensors as inputs and outputs
        return State(spec, [loaded.variant for loaded in self.loaded])

    @property
    def in_parts(self) -> bool:
        """Whether a call may be more than one native request."""
        return self.state is not None or self.loaded[0].direct is None

    def _check_mode(self) -> None:
        mode = self.config.get_core_mode()
        allowed = self.manifest.core_modes
        if mode is not CoreMode.Auto and _MODE_NAMES[mode] not in allowed:
            raise UnsupportedError(
                f"the model was not compiled for {mode}, only for {', '.join(allowed)}"
            )

    def _load(self, file: ModelFile, number: int, variant: Variant) -> Loaded:
        index = self.config.get_forced_npu_bundle_index()
        if index >= 0:
            try:
                variant = variant.only_bundle(index)
            except IndexError:
                raise UnsupportedError(f"the model has no NPU bundle {index}") from None
        early_ns, finish_ns = self.config.early_ns(number), self.config.finish_ns(number)
        # Of several programs none alone takes as long as all: their requests have a deadline only.
        share_ns = early_ns if variant.is_single_bundle else 0
        stages = tuple(self._stage(file, variant, one, share_ns) for one in variant.segments)
        direct = None
        bundle = stages[0].bundle
        if variant.is_single_bundle and bundle is not None:
            segment = stages[0].segment
            direct = Planner(
                _wires(variant, segment.inputs, bundle.inputs),
                _wires(variant, segment.outputs, bundle.outputs),
            )
        return Loaded(variant, stages, direct, early_ns, finish_ns)

    def _stage(self, file: ModelFile, variant: Variant, segment: Segment, early_ns: int) -> Stage:
        if segment.kind == "cpu":
            graph = bytes(file.section(segment.onnx))
            return Stage(segment, None, None, CpuSegment(segment, variant, graph))
        with file.section(segment.program) as program, file.section(segment.consts) as consts:
            options = self.config.native_options(early_ns)
            handle = _binding.load_model(self.device.handle, program, consts, options)
        bundle = Bundle(self.device, handle)
        self.bundles.append(bundle)
        if (len(segment.inputs), len(segment.outputs)) != (len(bundle.inputs), len(bundle.outputs)):
            raise ModelFormatError(
                f"segment {segment.name} and its program differ in their tensors"
            )
        planner = Planner(
            _staged(_wires(variant, segment.inputs, bundle.inputs)),
            _staged(_wires(variant, segment.outputs, bundle.outputs)),
            segment.name,
        )
        return Stage(segment, bundle, planner, None)

    # ---- shared ownership by the faces

    def share(self) -> Resident:
        """Count one more owner and return itself.

        Raises:
            ClosedError: if it was unloaded.
        """
        with self._lock:
            if not self._owners:
                raise ClosedError("the model is closed")
            self._owners += 1
        self.device.join()
        return self

    def unload(self) -> None:
        """Give up one ownership; the last one takes the programs off the device. Blocks."""
        with self._lock:
            self._owners -= 1
            last = self._owners == 0
        if last:
            for bundle in self.bundles:
                bundle.dispose()

    # ---- profile

    def set_profile(self, on: bool) -> None:
        """Switch per-layer times on, from zero, or off."""
        for bundle in self.bundles:
            _binding.set_profile(bundle.handle, on)

    def layer_times(self) -> list[LayerTime]:
        """Return the time of each NPU layer since profiling was switched on."""
        names = {layer.number: layer for layer in self.manifest.layers}
        rows: list[LayerTime] = []
        for bundle in self.bundles:
            for row in _binding.get_profile(bundle.handle):
                layer = names.get(row.layer)
                name, op = (layer.name, layer.op) if layer else (f"layer{row.layer}", str(row.op))
                rows.append(
                    LayerTime(
                        row.layer, name, op, row.calls, row.total_ns, row.macs, row.bytes_read,
                        row.bytes_written,
                    )
                )  # fmt: skip
        return rows


def _wires(
    variant: Variant, ports: tuple[Port, ...], tensors: list[_binding.DeviceTensor]
) -> list[Wire]:
    return [
        Wire(variant.values[port.name], port.perm, tensor.dims, tensor.dtype)
        for port, tensor in zip(ports, tensors, strict=True)
    ]


def _staged(wires: list[Wire]) -> list[Wire]:
    """Let wires carry (items, *ONNX shape): a batch in front of whatever the value is."""
    return [
        wire._replace(
            spec=wire.spec._replace(shape=(1, *wire.spec.shape), batch_axis=0, layout="ND"),
            perm=(0, *(axis + 1 for axis in wire.perm)),
        )
        for wire in wires
    ]
