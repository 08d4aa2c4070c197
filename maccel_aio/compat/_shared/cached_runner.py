"""Calls of a classic model that keeps state: any number of tokens, and caches by slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from maccel_aio._core._arrays import cast, needs_cast
from maccel_aio._typing import override
from maccel_aio.compat._shared import shapes
from maccel_aio.compat._shared.batch_param import check_params, check_size
from maccel_aio.compat._shared.plan import Layout, find_items
from maccel_aio.compat._shared.runner import Begun, Runner, is_filled
from maccel_aio.compat._shared.tensor import Tensor, Tokens, fill_up
from maccel_aio.compat._shared.variant import Variant
from maccel_aio.errors import InvalidError, ShapeError

if TYPE_CHECKING:
    from maccel_aio._core._manifest import Manifest
    from maccel_aio._core._types import TensorSpec
    from maccel_aio._typing import Array
    from maccel_aio.compat._shared.accelerator import RawAccelerator
    from maccel_aio.compat._shared.choice import CoreChoice

_FLOAT = np.dtype(np.float32)


def cached_variants(manifest: Manifest) -> tuple[Variant, ...]:
    """Return the one variant that clients see of a model with state.

    Its variants differ in the tokens of a step only, and a call is as many steps as it takes.
    """
    state, described = manifest.state, manifest.variants[0]
    if state is None:
        raise InvalidError("the model keeps no state")
    rows = [described.values[c.input].shape[c.axis] for c in state.caches if c.axis is not None]

    def tensor(spec: TensorSpec) -> Tensor:
        axis = state.tokens.get(spec.name)
        if axis is None:
            return Tensor(spec, False)
        inner = axis if spec.batch_axis is None else axis - 1
        return Tensor(spec, False, Tokens(inner, spec.shape[axis], min(rows, default=0)))

    variant = Variant(0, described)
    variant.inputs = tuple(tensor(s) for s in described.inputs if s.name not in state.hidden)
    variant.outputs = tuple(tensor(s) for s in described.outputs if s.name not in state.hidden)
    return (variant,)


class CachedRunner(Runner):
    """Carries out the calls of one launched model that keeps state. Any thread.

    Args:
        path: of the file.
        choice: which cores.
        accelerator: kept open.

    Raises:
        MaccelError: as loading does.
    """

    def __init__(self, path: str, choice: CoreChoice, accelerator: RawAccelerator) -> None:
        super().__init__(path, choice, accelerator)
        self.variants = cached_variants(self.engine.manifest)
        self.shapes = [[tensor.shape for tensor in one.inputs] for one in self.variants]

    def infer_cached(
        self,
        arrays: list[Array],
        outputs: list[Array] | None,
        wanted: bool | None,
        cache_size: int,
        params: Any,  # noqa: ANN401 - checked by the core
    ) -> list[Array] | None:
        """Carry out a call.

        Args:
            arrays: the inputs.
            outputs: the client's list for the outputs: filled, in place where it holds arrays.
            wanted: True for HWC, False for CHW, None for what fits.
            cache_size: tokens that slot 0 holds.
            params: one for each sequence, or None.

        Returns:
            The outputs; None where the client brought a list.

        Raises:
            TypeError: if the params are none.
            ValueError: if the arrays do not fit.
            MaccelError: as the core does.
        """
        layout, ready = self._ready(arrays, wanted)
        check_size(cache_size)
        if params:
            state = self.engine.manifest.state
            check_params(params, 0 if state is None else state.slots)
        made = self.engine.infer(ready, cache_size=cache_size, params=params)
        shown = _show(layout, made)
        if outputs is None:
            return shown
        if is_filled(outputs):
            shapes.check_outputs(outputs, [array.shape for array in shown], _FLOAT)
            for target, array in zip(outputs, shown, strict=True):
                target[...] = array
        else:
            outputs[:] = shown
        return None

    @override
    def begin(self, arrays: list[Array], to_float: bool) -> Begun:
        """Submit a call of slot 0, from the first token on, and return at once."""
        if to_float:
            raise InvalidError("a model with a cache takes float32 inputs")
        layout, ready = self._ready(arrays, None)
        return self.engine.submit_then(ready, lambda made: _show(layout, made)), None

    def _ready(self, arrays: list[Array], wanted: bool | None) -> tuple[Layout, list[Array]]:
        """Return the layout of a call, and its inputs in ONNX order."""
        _, layouts = shapes.find_variant([array.shape for array in arrays], self.shapes)
        layout = find_items(arrays, layouts.choose(wanted))
        if layout.items != 1:
            raise ShapeError("a call of a model with a cache has one item: use params for more")
        made: list[Array] = []
        for tensor, array in zip(self.variants[0].inputs, arrays, strict=True):
            if array.dtype == np.int8:
                raise InvalidError("a model with a cache takes float32 inputs")
            whole = np.asarray(array)
            item = whole[0] if whole.ndim == 4 else whole
            item = item if layout.hwc else item.transpose(1, 2, 0)
            item = item.reshape(tensor.item)
            made.append(cast(item) if needs_cast(item) else item)
        return layout, made


def _show(layout: Layout, made: list[Array]) -> list[Array]:
    """Return outputs, without the batch dimension, in the form of the inputs."""
    shown = []
    for array in made:
        item = array.reshape(fill_up(array.shape))
        item = item if layout.hwc else np.ascontiguousarray(item.transpose(2, 0, 1))
        shown.append(item[np.newaxis] if layout.batched else item)
    return shown
