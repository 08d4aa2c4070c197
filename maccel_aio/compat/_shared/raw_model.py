"""The inner layer of the classic models: a file, its configuration, and what runs it."""

from __future__ import annotations

import copy
import itertools
import threading
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, TypeVar

import numpy as np

from maccel_aio._core._file import read_manifest
from maccel_aio._core._state import cache_infos
from maccel_aio.compat._shared import convert, shapes, tracing
from maccel_aio.compat._shared.buffers import contents
from maccel_aio.compat._shared.cached_runner import CachedRunner, cached_variants
from maccel_aio.compat._shared.choice import CoreChoice, resolve_mode, target_places
from maccel_aio.compat._shared.config_state import ConfigState
from maccel_aio.compat._shared.pending import Later
from maccel_aio.compat._shared.plan import Layout
from maccel_aio.compat._shared.runner import Runner
from maccel_aio.compat._shared.status import StatusCode
from maccel_aio.compat._shared.summary import why_unreadable
from maccel_aio.compat._shared.symmetric import SymmetricRunner
from maccel_aio.compat._shared.variant import Variant, make_variants
from maccel_aio.errors import InvalidError, MaccelError

if TYPE_CHECKING:
    import logging

    from maccel_aio._core import _manifest
    from maccel_aio._core._manifest import Manifest
    from maccel_aio._typing import Array
    from maccel_aio.compat._shared.accelerator import RawAccelerator
    from maccel_aio.compat._shared.buffer import RawBuffer
    from maccel_aio.compat._shared.config_state import Place
    from maccel_aio.compat._shared.errors import VendorError

StateT = TypeVar("StateT", bound=ConfigState)


class VariantOf(NamedTuple):
    """The inner layer of a handle."""

    model: RawModel[Any]
    variant: Variant


_identifiers = itertools.count()


class RawModel(Generic[StateT]):
    """A model file, launched or not. Any thread.

    Args:
        path: of the file.
        state: copied.
        symmetric: whether int8 elements have no zero point.
        error: the class of the face.
        log: where reasons go.

    Raises:
        VendorError: ``Model_NoTargetCores``, ``Model_FailedToLoadMXQ``, or
            ``Model_MXQAndModelConfigNotMatch``.
    """

    def __init__(
        self,
        path: str,
        state: StateT,
        symmetric: bool,
        error: type[VendorError],
        log: logging.Logger,
    ) -> None:
        self.error = error
        self.path = path
        self._log = log
        self._symmetric = symmetric
        self._lock = threading.Lock()
        self._disposed = False
        self.runner: Runner | None = None
        with tracing.span("create model"):
            if not state.has_cores():
                log.error("No target core specified!")
                raise error.of(StatusCode.Model_NoTargetCores, "no core is chosen", path)
            self.state = copy.deepcopy(state)
            manifest = self._read()
            self.mode = self._resolve(manifest)
            #: What it keeps from one call to the next.
            self.caches = () if state.bundle >= 0 else tuple(cache_infos(manifest))
            self.variants = self._variants(manifest)
        self.identifier = next(_identifiers)

    def _read(self) -> Manifest:
        with tracing.span("load mxq"):
            try:
                return read_manifest(self.path)
            except (OSError, MaccelError, ValueError) as problem:
                why = why_unreadable(problem, self.path)
                self._log.error("Unable to load; %s", why)
                self._log.error("Failed to load model.")
                code = StatusCode.Model_FailedToLoadMXQ
                raise self.error.of(code, why, self.path) from problem

    def _resolve(self, manifest: Manifest) -> int:
        mode = resolve_mode(self.state, manifest.core_modes)
        if mode is None:
            raise self._mismatch(f"it was compiled for {', '.join(manifest.core_modes)}")
        return mode

    def _variants(self, manifest: Manifest) -> tuple[Variant, ...]:
        if self.caches:
            return cached_variants(manifest)
        try:
            return make_variants(self._only_bundle(one) for one in manifest.variants)
        except IndexError:
            raise self._mismatch(f"it has no NPU bundle {self.state.bundle}") from None

    def _only_bundle(self, variant: _manifest.Variant) -> _manifest.Variant:
        return variant if self.state.bundle < 0 else variant.only_bundle(self.state.bundle)

    def _mismatch(self, why: str) -> VendorError:
        self._log.error("The configuration does not fit the model: %s", why)
        return self.error.of(StatusCode.Model_MXQAndModelConfigNotMatch, why, self.path)

    def places(self) -> list[Place]:
        """Return the cores that it may run on."""
        return target_places(self.state)

    def variant(self, index: object) -> VariantOf:
        """Return the inner layer of a handle.

        Raises:
            TypeError: if the index is no integer.
            VendorError: ``Model_InvalidVariantIdx``.
        """
        number = convert.int32(index)
        if not 0 <= number < len(self.variants):
            why = f"there is no variant {number}: the model has {len(self.variants)}"
            raise self.error.of(StatusCode.Model_InvalidVariantIdx, why, self.path)
        return VariantOf(self, self.variants[number])

    # ---- life

    def launch(self, accelerator: RawAccelerator) -> None:
        """Load it onto an accelerator. Blocks. A model that was disposed of can be launched again.

        Raises:
            VendorError: ``Model_AlreadyLaunched``, or why it cannot be loaded.
        """
        with self._lock, tracing.span("launch model"):
            if self.runner is not None:
                code = StatusCode.Model_AlreadyLaunched
                raise self.error.of(code, "the model is launched already", self.path)
            choice = CoreChoice(self.state)
            plain = SymmetricRunner if self._symmetric else Runner
            kind = CachedRunner if self.caches else plain
            try:
                self.runner = kind(self.path, choice, accelerator)
            except InvalidError as problem:  # cores that the device lacks
                code = StatusCode.Driver_FailedToClaimCores
                raise self.error.of(code, problem.reason, self.path) from problem
            except MaccelError as problem:
                raise self.error.wrap(problem) from problem
            except OSError as problem:
                why = why_unreadable(problem, self.path)
                code = StatusCode.Model_FailedToLoadMXQ
                raise self.error.of(code, why, self.path) from problem
            self._disposed = False

    def dispose(self) -> None:
        """Cancel what is queued, wait for what runs, and unload it. Idempotent. Blocks."""
        with self._lock:
            runner, self.runner = self.runner, None
            self._disposed = True
        if runner is not None:
            runner.engine.close()

    def running(self) -> Runner:
        """Return what carries out calls.

        Raises:
            VendorError: ``Model_NotLaunched``, or ``Model_NotAlive`` after disposal.
        """
        runner = self.runner
        if runner is None:
            raise self.not_running()
        return runner

    def not_running(self) -> VendorError:
        """Return the error of a call before launching, or after disposal."""
        if self._disposed:
            code, why = StatusCode.Model_NotAlive, "the model was disposed of"
        else:
            code, why = StatusCode.Model_NotLaunched, "the model is not launched"
        return self.error.of(code, why, self.path)

    # ---- calls

    def infer(
        self,
        inputs: object,
        outputs: list[Array] | None,
        cache_size: int,
        *,
        params: object = None,
        wanted: bool | None = None,
        to_float: bool = False,
    ) -> list[Array] | None:
        """Carry out a call.

        Args:
            inputs: one array, or a list with one array an input.
            outputs: the client's list for the outputs, or None.
            cache_size: tokens in the KV cache.
            params: of a batched language model, or None.
            wanted: True for HWC, False for CHW, None for what fits.
            to_float: whether int8 inputs give float outputs.

        Returns:
            The outputs; None where the client brought a list.

        Raises:
            ValueError: if the arrays do not fit.
            VendorError: as the status says.
        """
        arrays = as_list(inputs)
        size = 0 if cache_size == 0 and params is None else self.check_cache(cache_size, params)
        runner = self.runner
        try:
            if runner is None:
                return self._refuse(arrays, wanted)
            if isinstance(runner, CachedRunner):
                if to_float:
                    raise InvalidError("a model with a cache takes float32 inputs: use infer")
                return runner.infer_cached(arrays, outputs, wanted, size, params)
            return runner.infer(arrays, outputs, wanted, to_float)
        except MaccelError as problem:
            raise self.error.wrap(problem) from problem

    def begin(self, inputs: object, *, to_float: bool = False) -> Later:
        """Submit a call; blocks only while the queue of this thread is full.

        Args:
            inputs: as for ``infer``; to be left alone until the result is there.
            to_float: as for ``infer``.

        Raises:
            ValueError: if the arrays do not fit.
            VendorError: as the status says.
        """
        arrays = as_list(inputs)
        runner = self.runner or self._refuse(arrays, None)
        try:
            job, finish = runner.begin(arrays, to_float)
        except MaccelError as problem:
            raise self.error.wrap(problem) from problem
        return Later(runner, job, self.error, finish)

    def infer_buffers(
        self,
        inputs: list[RawBuffer],
        outputs: list[RawBuffer],
        shape: list[list[int]],
        cache_size: object,
    ) -> None:
        """Carry out a call from buffers into buffers.

        Args:
            inputs: one an input.
            outputs: one an output.
            shape: of each input, to choose a variant; empty for that of the buffers.
            cache_size: tokens in the KV cache.

        Raises:
            VendorError: if something does not fit, or as the status says.
        """
        size = self.check_cache(cache_size, None)
        runner = self.running()
        variant = self._variant_of(inputs, shape)
        counts = len(variant.inputs), len(variant.outputs)
        if (len(inputs), len(outputs)) != counts:
            why = f"{counts} inputs and outputs are needed, got {len(inputs), len(outputs)}"
            raise self.error.of(StatusCode.Model_BufferSizeMismatched, why, self.path)
        pairs = [*zip(inputs, variant.inputs, strict=True),
                 *zip(outputs, variant.outputs, strict=True)]  # fmt: skip
        arrays = [contents(raw, tensor, self.error) for raw, tensor in pairs]
        if isinstance(runner, CachedRunner):
            self.infer_tokens(runner, arrays[: counts[0]], arrays[counts[0] :], size)
        else:
            layout = Layout(True, len(arrays[0]), True)
            self.infer_into(runner, variant.index, arrays, layout)

    def infer_tokens(
        self,
        runner: CachedRunner,
        arrays: list[Array],
        outputs: list[Array] | None,
        size: int,
        wanted: bool = True,
    ) -> list[Array] | None:
        """Carry out a call of a model with a cache: see ``CachedRunner.infer_cached``.

        Args:
            runner: of this model.
            arrays: the inputs.
            outputs: where to write; None for new arrays.
            size: tokens in the cache.
            wanted: whether they are in HWC order.

        Raises:
            VendorError: if something does not fit, or as the status says.
        """
        try:
            return runner.infer_cached(arrays, outputs, wanted, size, None)
        except MaccelError as problem:
            raise self.error.wrap(problem) from problem
        except ValueError as problem:
            code = StatusCode.Model_ShapeMismatched
            raise self.error.of(code, str(problem), self.path) from problem

    def infer_into(self, runner: Runner, index: int, arrays: list[Array], layout: Layout) -> None:
        """Carry out a call with arrays in the NPU's own form: see ``Runner.infer_into``.

        Args:
            runner: of this model.
            index: of the variant.
            arrays: inputs, then outputs.
            layout: of all of them.

        Raises:
            VendorError: if something does not fit, or as the status says.
        """
        ins = len(runner.variants[index].inputs)
        try:
            runner.infer_into(index, arrays[:ins], arrays[ins:], layout)
        except MaccelError as problem:
            raise self.error.wrap(problem) from problem

    def _variant_of(self, inputs: list[RawBuffer], shape: list[list[int]]) -> Variant:
        if shape:
            expected = [[tensor.shape for tensor in one.inputs] for one in self.variants]
            try:
                return self.variants[shapes.find_variant([*map(tuple, shape)], expected)[0]]
            except ValueError:
                why = f"no variant has inputs of the shapes {shape}"
                raise self.error.of(StatusCode.Model_ShapeMismatched, why, self.path) from None
        owned = {getattr(raw, "tensor", None) for raw in inputs}
        return next((one for one in self.variants if owned & set(one.inputs)), self.variants[0])

    def speedrun(self) -> None:
        """Compute once without transfers.

        Raises:
            VendorError: as the status says.
        """
        runner = self.running()
        try:
            runner.engine.speedrun(1)
        except MaccelError as problem:
            raise self.error.wrap(problem) from problem

    def check_cache(self, cache_size: object, params: object) -> int:
        """Return a number of tokens.

        Raises:
            TypeError: if it is none.
            VendorError: ``Model_NoCache`` if there are some, or params, and the model has no cache.
        """
        size = convert.int32(cache_size)
        if (size or params) and not self.caches:
            why = "the model has no KV cache: leave cache_size and params out"
            raise self.error.of(StatusCode.Model_NoCache, why, self.path)
        return size

    def _refuse(self, arrays: list[Array], wanted: bool | None) -> NoReturn:
        """Say that it is not launched; that the arrays do not fit comes first."""
        expected = [[tensor.shape for tensor in one.inputs] for one in self.variants]
        _, layouts = shapes.find_variant([array.shape for array in arrays], expected)
        layouts.choose(wanted)
        raise self.not_running()


def as_list(inputs: Any) -> list[Array]:  # noqa: ANN401 - whatever has a shape
    """Return the inputs of a call as a list of arrays.

    Raises:
        AttributeError: if one has no shape, like a tuple or a list.
    """
    listed = inputs if isinstance(inputs, list) else [inputs]
    for one in listed:
        if not isinstance(one, np.ndarray):
            return [one if isinstance(one, np.ndarray) else _as_array(one) for one in listed]
    return listed


def _as_array(one: Any) -> Array:  # noqa: ANN401 - whatever has a shape
    shape = tuple(one.shape)
    array = np.asarray(one)
    if array.shape != shape:
        raise TypeError(f"an array of shape {shape} is needed, got one of {array.shape}")
    return array
