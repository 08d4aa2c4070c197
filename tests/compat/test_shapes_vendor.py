"""The shape logic of the vendor's Python layer and ours, on random shapes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maccel_aio.compat._shared import shapes
from tests.compat.vendor import PACKAGES, outcome, theirs

dims = st.integers(0, 4)
model_dims = st.sampled_from([-3, -2, -1, 1, 2, 3, 4])
given_shapes = st.lists(dims, min_size=1, max_size=5).map(tuple)
model_shapes = st.tuples(model_dims, model_dims, model_dims)

pytestmark = pytest.mark.parametrize("name", PACKAGES)


class Stub:
    """A model with variants, as far as the vendor's functions look at it."""

    def __init__(self, variants: list[list[tuple[int, ...]]]) -> None:
        self.variants = variants

    def get_num_model_variants(self) -> int:
        return len(self.variants)

    def get_model_variant_handle(self, index: int) -> Any:
        stub = Stub([])
        vars(stub)["get_model_input_shape"] = lambda: self.variants[index]
        return stub


@settings(max_examples=300)
@given(shape=given_shapes, expected=model_shapes)
def test_arrays_fit_alike(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    vendor = theirs(name).model._is_valid_shape
    assert outcome(lambda: shapes.fits(shape, expected)) == outcome(lambda: vendor(shape, expected))


@settings(max_examples=300)
@given(
    given=st.lists(given_shapes, max_size=2),
    variants=st.lists(st.lists(model_shapes, max_size=2), max_size=3),
)
def test_variants_are_found_alike(name: str, given: Any, variants: Any) -> None:
    module = theirs(name).model
    arrays = [np.empty(shape) for shape in given]

    def vendor() -> object:
        if name == "maccel":
            return module._find_matching_variant_idx_and_is_hwc(Stub(variants), arrays)
        return module._find_matching_variant_idx_and_memory_format(Stub(variants), arrays)

    def mine() -> object:
        index, layouts = shapes.find_variant(given, variants)
        return (index, layouts.choose(None)) if name == "maccel" else (index, tuple(layouts))

    assert outcome(mine) == outcome(vendor)


@given(
    shape=st.tuples(dims, dims, dims),
    expected=st.tuples(dims, dims, dims),
    hwc=st.booleans(),
    dtypes=st.tuples(*[st.sampled_from(["float32", "int8"])] * 2),
    count=st.integers(0, 2),
)
def test_outputs_are_checked_alike(
    name: str, shape: Any, expected: Any, hwc: bool, dtypes: tuple[str, str], count: int
) -> None:
    module = theirs(name).model
    own, wanted = map(np.dtype, dtypes)
    outputs = [np.empty(shape, own) for _ in range(count)]
    own_shape = expected if hwc else shapes.chw_shape(expected)
    assert outcome(lambda: shapes.check_outputs(outputs, [own_shape], wanted)) == outcome(
        lambda: module._check_output_shapes(outputs, [expected], hwc, wanted)
    )
