"""Gives the inputs of a model their shapes: fixed sizes, a batch of one, or variable lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper

from maccel_aio.errors import CompileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

_EXAMPLE = "1x3x224x224"


@dataclass(frozen=True)
class Bound:
    """What binding found.

    Attributes:
        symbolic: inputs whose batch was symbolic and is now 1.
        variable: shapes of inputs with a dimension of variable length: -k for a multiple of k.
        conflicts: for every symbol that got several sizes, where it got which.
    """

    symbolic: frozenset[str]
    variable: dict[str, tuple[int, ...]]
    conflicts: tuple[str, ...] = ()


class Symbols:
    """Sizes of symbolic dimensions, and which input each of them came from."""

    def __init__(self) -> None:
        self._found: dict[str, dict[int, str]] = {}

    def add(self, params: Sequence[str], sizes: Sequence[int], where: str) -> None:
        """Note the sizes of an input; "" is no symbol."""
        for param, size in zip(params, sizes, strict=True):
            if param:
                self._found.setdefault(param, {}).setdefault(size, where)

    def size(self, param: str) -> int | None:
        """Return the one size of a symbol, None if there is none or more than one."""
        sizes = self._found.get(param, {})
        return next(iter(sizes)) if len(sizes) == 1 else None

    def conflicts(self) -> tuple[str, ...]:
        """Return a text for every symbol with several sizes."""
        return tuple(
            f"dimension {param!r} is "
            + " and ".join(f"{size} in {where!r}" for size, where in sizes.items())
            for param, sizes in self._found.items()
            if len(sizes) > 1
        )


def fix_inputs(model: onnx.ModelProto, values: Mapping[str, ArrayLike]) -> Symbols:
    """Turn inputs of `model` into constants; return the sizes that they give to symbols.

    Raises:
        CompileError: there is no such input, or a value does not fit it.
    """
    known = {value.name: value for value in model.graph.input}
    symbols = Symbols()
    for name, given in values.items():
        if name not in known:
            raise CompileError(f"constant given for {name!r}; the model's inputs are {[*known]}")
        kind = known[name].type.tensor_type
        array = _as_type(name, given, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        dims = [d.dim_value for d in kind.shape.dim]
        fits = len(dims) == array.ndim and all(
            size in (0, got) for size, got in zip(dims, array.shape, strict=True)
        )
        if kind.HasField("shape") and not fits:
            raise CompileError(f"constant for {name!r} has shape {array.shape}, the input {dims}")
        if kind.HasField("shape"):
            symbols.add([d.dim_param for d in kind.shape.dim], array.shape, name)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
        model.graph.input.remove(known[name])
    return symbols


def _as_type(name: str, given: ArrayLike, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a constant as what its input takes."""
    try:
        array = np.asarray(given)
        with np.errstate(invalid="ignore"):
            same = array.astype(dtype)
        lost = dtype.kind in "iub" and array.dtype.kind in "iubf" and not (same == array).all()
    except (TypeError, ValueError) as error:
        raise CompileError(f"constant for {name!r} is no array of {dtype.name}: {error}") from error
    if lost:
        raise CompileError(f"constant for {name!r}: {given!r} is not of {dtype.name}")
    return same


def bind_shapes(
    model: onnx.ModelProto,
    shapes: Mapping[str, Sequence[int]],
    symbols: Symbols | None = None,
) -> Bound:
    """Fix every input shape in `model`, except for dimensions that `shapes` gives as negative.

    Other shapes that the file states are forgotten when a shape is given: they belong to the
    sizes of the export, and some files state wrong ones.

    Raises:
        CompileError: an input keeps an unknown dimension, or `shapes` does not fit.
    """
    known = [value.name for value in model.graph.input]
    unknown = sorted(set(shapes) - set(known))
    if unknown:
        raise CompileError(f"shape given for {unknown}; the model's inputs are {known}")
    symbols = symbols or Symbols()
    bound = Bound(frozenset(), {})
    for value in model.graph.input:
        if value.name in shapes:
            given = tuple(int(d) for d in shapes[value.name])
            _bind_given(value, given, symbols, bound.variable)
    rest = [v for v in model.graph.input if v.name not in shapes]
    symbolic = frozenset(v.name for v in rest if _bind_rest(v, symbols, bound.variable))
    if shapes or symbolic:
        del model.graph.value_info[:]
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
    return Bound(symbolic, bound.variable, symbols.conflicts())


def _bind_given(
    value: onnx.ValueInfoProto,
    shape: tuple[int, ...],
    symbols: Symbols,
    variable: dict[str, tuple[int, ...]],
) -> None:
    dims = value.type.tensor_type.shape.dim
    if value.type.tensor_type.HasField("shape") and len(dims) != len(shape):
        msg = (
            f"input {value.name!r} has {len(dims)} dimensions, the given shape {shape} {len(shape)}"
        )
        raise CompileError(msg)
    if 0 in shape or (not shape and dims):
        raise CompileError(
            f"input {value.name!r}: shape {shape} must be positive, or -k for any multiple of k"
        )
    params = [d.dim_param for d in dims] or [""] * len(shape)
    symbols.add(params, shape, value.name)
    _set_shape(value, shape, params, variable)


def _set_shape(
    value: onnx.ValueInfoProto,
    shape: Sequence[int],
    params: Sequence[str],
    variable: dict[str, tuple[int, ...]],
) -> None:
    """Write a shape into `value`; a variable dimension keeps its symbol, or gets one."""
    value.type.tensor_type.ClearField("shape")
    value.type.tensor_type.shape.SetInParent()  # a scalar has a shape without dimensions
    for axis, (size, param) in enumerate(zip(shape, params, strict=True)):
        dim = value.type.tensor_type.shape.dim.add()
        if size >= 0:
            dim.dim_value = size
        else:
            dim.dim_param = param or f"{value.name}:{axis}"
    if any(size < 0 for size in shape):
        variable[value.name] = tuple(shape)


def _bind_rest(
    value: onnx.ValueInfoProto,
    symbols: Symbols,
    variable: dict[str, tuple[int, ...]],
) -> bool:
    """Fix what is left of one input; return whether its batch was symbolic."""
    if not value.type.HasField("tensor_type"):
        raise CompileError(f"input {value.name!r} is not a tensor")
    if not value.type.tensor_type.HasField("shape"):
        raise CompileError(f"input {value.name!r} has no shape: give one ({value.name}={_EXAMPLE})")
    dims = value.type.tensor_type.shape.dim
    sizes = [_size(dim, symbols) for dim in dims]
    symbolic_batch = bool(sizes) and sizes[0] is None
    if symbolic_batch:
        sizes[0] = 1
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        shown = "x".join(d.dim_param or str(d.dim_value or "?") for d in dims)
        raise CompileError(
            f"input {value.name!r} has shape {shown}: give its sizes ({value.name}={_EXAMPLE}), "
            "or -1 for a dimension of variable length"
        )
    _set_shape(value, known, [d.dim_param for d in dims], variable)
    return symbolic_batch


def _size(dim: onnx.TensorShapeProto.Dimension, symbols: Symbols) -> int | None:
    """Return the size of a dimension, negative if it is variable, None if it is not known."""
    if dim.dim_param:
        return symbols.size(dim.dim_param)
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None
