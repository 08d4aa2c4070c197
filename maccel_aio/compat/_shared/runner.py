"""A classic model on an accelerator: from the arrays of a call to its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from maccel_aio._core import _binding
from maccel_aio._core._arrays import cast, needs_cast
from maccel_aio._core._base_model import Prepared
from maccel_aio._core._express import Form as Usual
from maccel_aio._core._limits import limit
from maccel_aio._core._port import Call
from maccel_aio._core._shapes import Match
from maccel_aio.compat._shared import shapes
from maccel_aio.compat._shared.engine import Engine, close_with
from maccel_aio.compat._shared.plan import Layout, find_items, from_onnx, make_plan
from maccel_aio.compat._shared.variant import make_variants
from maccel_aio.errors import InvalidError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from maccel_aio import sync
    from maccel_aio._core._arrays import Plan, Planner
    from maccel_aio._core._blocking_stream import BackgroundJob
    from maccel_aio._core._resident import Loaded
    from maccel_aio._typing import Array, DType
    from maccel_aio.compat._shared.accelerator import RawAccelerator
    from maccel_aio.compat._shared.choice import CoreChoice
    from maccel_aio.compat._shared.tensor import Tensor
    from maccel_aio.compat._shared.variant import Variant

_FORMS_KEPT = 256
_INT8 = np.dtype(np.int8)
_UINT8 = np.dtype(np.uint8)
_FLOAT = np.dtype(np.float32)


Begun = tuple["sync.Job | BackgroundJob", "Callable[[list[Array]], list[Array]] | None"]


class Form(NamedTuple):
    """What calls with arrays of the same shapes, strides and types have in common."""

    variant: Variant
    loaded: Loaded
    layout: Layout
    #: Of the outputs.
    dtype: DType
    #: None for a model of several segments.
    plan: Plan | None = None
    #: Where there is one contiguous input and one output.
    usual: Usual | None = None


class Runner:
    """Carries out the calls of one launched model. Any thread.

    Args:
        path: of the file.
        choice: which cores.
        accelerator: kept open.

    Raises:
        MaccelError: as loading does.
    """

    def __init__(self, path: str, choice: CoreChoice, accelerator: RawAccelerator) -> None:
        self.accelerator = accelerator
        self.engine = Engine(path, choice)
        close_with(self, self.engine)
        self.engine.launch(accelerator.inner)
        self._loaded = self.engine.variants
        self.variants = make_variants(one.variant for one in self._loaded)
        self.shapes = [[tensor.shape for tensor in one.inputs] for one in self.variants]
        self._forms: dict[object, Form] = {}
        #: Of calls with arrays in the NPU's own form.
        self._exact: dict[object, Plan] = {}

    # ---- calls

    def infer(
        self,
        arrays: list[Array],
        outputs: list[Array] | None,
        wanted: bool | None,
        to_float: bool,
    ) -> list[Array] | None:
        """Carry out a call.

        Args:
            arrays: the inputs.
            outputs: the client's list for the outputs: filled, in place where it holds arrays.
            wanted: True for HWC, False for CHW, None for what fits.
            to_float: whether int8 inputs give float outputs.

        Returns:
            The outputs; None where the client brought a list.

        Raises:
            ValueError: if the arrays do not fit.
            MaccelError: as the core does.
        """
        form, arrays = self._find(arrays, wanted, to_float)
        if outputs is None:
            return self._run(form, arrays)
        if is_filled(outputs):
            expected = [form.layout.shape(tensor) for tensor in form.variant.outputs]
            shapes.check_outputs(outputs, expected, form.dtype)
            self._run_into(form, arrays, outputs)
        else:
            outputs[:] = self._run(form, arrays)
        return None

    def infer_into(
        self, index: int, arrays: Sequence[Array], outputs: list[Array], layout: Layout
    ) -> None:
        """Carry out a call whose arrays say, each by itself, in which form the NPU is to use it.

        Args:
            index: of the variant.
            arrays: contiguous; each float32, int8 as ``coding`` says, or uint8 pixels.
            outputs: contiguous; each float32, or int8.
            layout: of all of them.

        Raises:
            ShapeError: if a shape does not fit.
            InvalidError: if a type does not.
            MaccelError: as the core does.
        """
        variant, loaded = self.variants[index], self._loaded[index]
        _check_exact(variant.inputs, arrays, layout)
        _check_exact(variant.outputs, outputs, layout)
        form = Form(variant, loaded, layout, _FLOAT)
        if loaded.direct is None:
            made = self._run_staged(form, list(arrays))
        else:
            plan = self._exact_plan(form, loaded.direct, arrays, outputs)
            if not plan.needs_view:
                self.engine.run(_call(form, plan, list(arrays), outputs))
                return
            made = self.engine.run(_call(form, plan, list(arrays), None))
        for target, source in zip(outputs, made, strict=True):
            target[...] = source

    def _exact_plan(
        self, form: Form, planner: Planner, arrays: Sequence[Array], outputs: list[Array]
    ) -> Plan:
        types = tuple(array.dtype for array in (*arrays, *outputs))
        key = (form.variant.index, form.layout, types)
        plan = self._exact.get(key)
        if plan is None:
            if len(self._exact) >= _FORMS_KEPT:
                self._exact.clear()
            plan = self._exact[key] = self._plan(form, planner, arrays, outputs)
        return plan

    def begin(self, arrays: list[Array], to_float: bool) -> Begun:
        """Submit a call and return at once; blocks only while the queue of this thread is full.

        Args:
            arrays: the inputs; to be left alone until the result is there.
            to_float: as for ``infer``.

        Returns:
            The job, and what is to be done with its result.

        Raises:
            ValueError: if the arrays do not fit.
            MaccelError: as the core does.
        """
        form, arrays = self._find(arrays, None, to_float)
        if form.plan is None:
            return self.engine.begin_in_background(lambda: self._run_staged(form, arrays)), None
        return self.engine.begin(_call(form, form.plan, arrays, None)), None

    # ---- forms

    def variant_of(self, arrays: Sequence[Array]) -> Variant:
        """Return the first variant that arrays fit.

        Raises:
            ValueError: if they fit none.
        """
        return self.variants[shapes.find_variant([one.shape for one in arrays], self.shapes)[0]]

    def _find(
        self, arrays: list[Array], wanted: bool | None, to_float: bool
    ) -> tuple[Form, list[Array]]:
        """Return the form of a call, and its inputs as the device can read them.

        Raises:
            ValueError: if the arrays do not fit.
            InvalidError: if their types do not.
        """
        key = _key(arrays, wanted, to_float)
        form = self._forms.get(key)
        if form is not None:
            for array in arrays:
                if not array.flags.aligned:
                    break
            else:
                return form, arrays
        return self._learn(arrays, wanted, to_float)

    def _learn(
        self, arrays: list[Array], wanted: bool | None, to_float: bool
    ) -> tuple[Form, list[Array]]:
        index, layouts = shapes.find_variant([one.shape for one in arrays], self.shapes)
        layout = find_items(arrays, layouts.choose(wanted))
        arrays = [cast(one) if needs_cast(one) else one for one in map(np.asarray, arrays)]
        key = _key(arrays, wanted, to_float)
        form = self._forms.get(key)
        if form is not None:
            return form, arrays
        variant, loaded = self.variants[index], self._loaded[index]
        form = Form(variant, loaded, layout, result_dtype(variant, arrays, to_float))
        if loaded.direct is not None:
            plan = self._plan(form, loaded.direct, arrays, None)
            form = form._replace(plan=plan, usual=_usual(loaded, plan))
        if len(self._forms) >= _FORMS_KEPT:
            self._forms.clear()
        self._forms[key] = form
        return form, arrays

    def _plan(
        self, form: Form, planner: Planner, arrays: Sequence[Array], outputs: Sequence[Array] | None
    ) -> Plan:
        variant = form.variant
        if outputs is None:
            outputs = [np.empty(form.layout.shape(one), form.dtype) for one in variant.outputs]
        tensors = (variant.inputs, variant.outputs)
        return make_plan(planner, tensors, (arrays, outputs), form.layout)

    # ---- carrying out

    def _run(self, form: Form, arrays: list[Array]) -> list[Array]:
        if form.usual is not None:
            return self.engine.run_usual(form.usual, arrays[0])
        if form.plan is None:
            return self._run_staged(form, arrays)
        return self.engine.run(_call(form, form.plan, arrays, None))

    def _run_into(self, form: Form, arrays: list[Array], outputs: list[Array]) -> None:
        planner = form.loaded.direct
        if planner is not None:
            plan = self._plan(form, planner, arrays, outputs)
            if not plan.needs_view:
                self.engine.run(_call(form, plan, arrays, outputs))
                return
        for target, made in zip(outputs, self._run(form, arrays), strict=True):
            target[...] = made

    def _run_staged(self, form: Form, arrays: list[Array]) -> list[Array]:
        layout, variant = form.layout, form.variant
        match = Match(layout.hwc, layout.items, layout.batched)
        prepared = Prepared(form.loaded, arrays, None, None, match, limit(form.loaded), 0)
        values = {
            tensor.spec.name: tensor.view(array, layout.hwc)
            for tensor, array in zip(variant.inputs, arrays, strict=True)
        }
        values = self.engine.run_stages(prepared, values)
        return [from_onnx(one, layout, values[one.spec.name], _FLOAT) for one in variant.outputs]


def _key(arrays: list[Array], wanted: bool | None, to_float: bool) -> object:
    if len(arrays) == 1:
        array: Any = arrays[0]
        return wanted, to_float, array.shape, array.strides, array.dtype
    return wanted, to_float, *((one.shape, one.strides, one.dtype) for one in arrays)


def is_filled(outputs: object) -> bool:
    """Return whether a client's list for the outputs has arrays in it.

    Raises:
        TypeError: if it is no list.
    """
    if not isinstance(outputs, list):
        raise TypeError(f"the outputs must be a list, not a {type(outputs).__name__}")
    return bool(outputs)


def result_dtype(variant: Variant, arrays: Sequence[Array], to_float: bool) -> DType:
    """Return the type of the outputs; check those of the inputs.

    Raises:
        InvalidError: if the model does not take them.
    """
    quantised = [array.dtype == _INT8 for array in arrays]
    if to_float and not all(quantised):
        raise InvalidError("only int8 inputs can be inferred to float: use infer for others")
    if not any(quantised):
        for tensor, array in zip(variant.inputs, arrays, strict=True):
            if tensor.takes_pixels and array.dtype != _UINT8:
                raise InvalidError(f"{tensor.spec.name!r} takes uint8 pixels, not {array.dtype}")
        return _FLOAT
    if not all(quantised):
        raise InvalidError("either all inputs are int8, or none")
    tensors = variant.inputs if to_float else (*variant.inputs, *variant.outputs)
    for tensor in tensors:
        if not tensor.quantised:
            why = "it is float on the NPU, or the model has parts on the CPU"
            raise InvalidError(f"{tensor.spec.name!r} has no int8 form: {why}")
    return _FLOAT if to_float else _INT8


def _check_exact(tensors: Sequence[Tensor], arrays: Sequence[Array], layout: Layout) -> None:
    if len(arrays) != len(tensors):
        raise ShapeError(f"{len(tensors)} arrays are needed, got {len(arrays)}")
    for tensor, array in zip(tensors, arrays, strict=True):
        name, shape = tensor.spec.name, layout.shape(tensor)
        if array.shape != shape:
            raise ShapeError(f"{name!r} needs the shape {shape}, got {array.shape}")
        if not tensor.takes(array.dtype):
            raise InvalidError(f"{name!r} cannot be {array.dtype}")


def _usual(loaded: Loaded, plan: Plan) -> Usual | None:
    bundle = loaded.stages[0].bundle
    if bundle is None or loaded.finish_ns or plan.needs_copy:
        return None
    if plan.contiguous != (True,) or len(plan.results) != 1:
        return None
    return Usual(bundle.handle, plan, _binding.HERE)


def _call(form: Form, plan: Plan, arrays: list[Array], outputs: list[Array] | None) -> Call:
    bundle = form.loaded.stages[0].bundle
    if bundle is None:
        raise InvalidError("the model has no NPU program")
    if plan.needs_copy:
        arrays = plan.copy(arrays)
    return Call(bundle.handle, plan, arrays, outputs, limit(form.loaded), 0)
