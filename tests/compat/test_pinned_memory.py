"""Memory that the NPU reads and writes in place."""

import gc
from typing import Any

import numpy as np
import pytest

from maccel_aio.compat import qbruntime
from maccel_aio.compat._shared.status import StatusCode

pytestmark = pytest.mark.usefixtures("no_leaks")
F32 = np.float32


def test_pinned_memory_is_an_array_with_a_home() -> None:
    acc = qbruntime.Accelerator()
    memory = acc.allocate_pinned_memory([2, 3], F32)
    memory[...] = 1.5
    memory[0] = np.arange(3)
    assert memory[0, 2] == 2
    assert memory[1].tolist() == [1.5] * 3
    assert (len(memory), memory.shape, memory.dtype, memory.size) == (2, (2, 3), np.dtype(F32), 24)
    homes = [memory.is_available]
    pixels = acc.allocate_pinned_memory((4,), np.dtype(np.uint8))
    assert pixels.dtype == np.uint8
    del acc
    gc.collect()
    homes.append(memory.is_available)
    assert homes == [True, False]
    assert memory[0, 2] == 2


@pytest.mark.parametrize(("shape", "dtype"), [([2], np.int8), ([-1], F32), ([1.5], F32)])
def test_what_cannot_be_allocated_is_refused(shape: Any, dtype: Any) -> None:
    with pytest.raises(TypeError):
        qbruntime.Accelerator().allocate_pinned_memory(shape, dtype)


def test_a_model_runs_on_it_in_place(image_path: str, pixels: Any) -> None:
    acc = qbruntime.Accelerator()
    model = qbruntime.Model(image_path)
    model.launch(acc)
    memory = acc.allocate_pinned_memory(pixels.shape, F32)
    memory[...] = pixels
    made = model.infer_pinned_memory([memory])
    assert made is not None
    assert [type(one) for one in made] == [qbruntime.PinnedMemory] * 2
    assert np.array_equal(made[0][...], pixels + 1)
    assert made[0].is_available
    outputs = [acc.allocate_pinned_memory(one.shape, F32) for one in made]
    addresses = [one[...].__array_interface__["data"][0] for one in outputs]
    assert model.infer_pinned_memory([memory], outputs) is None
    assert np.array_equal(outputs[0][...], pixels + 1)
    assert np.array_equal(outputs[1][...], made[1][...])
    assert [one[...].__array_interface__["data"][0] for one in outputs] == addresses
    for inputs, targets in (
        ([memory, memory], None),
        ([memory], outputs[:1]),
        ([memory], made[::-1]),
    ):
        with pytest.raises(qbruntime.QbRuntimeError) as caught:
            model.infer_pinned_memory(inputs, targets)
        assert caught.value.code is StatusCode.Model_ShapeMismatched
    model.dispose()
    with pytest.raises(qbruntime.QbRuntimeError, match="Model_NotAlive"):
        model.infer_pinned_memory([memory])


def test_segments_on_the_cpu_do_not_matter(segmented_path: str) -> None:
    acc = qbruntime.Accelerator()
    model = qbruntime.Model(segmented_path)
    model.launch(acc)
    memory = acc.allocate_pinned_memory((1, 1, 8), F32)
    memory[...] = 1
    made = model.infer_pinned_memory([memory])
    assert made is not None
    assert (made[0][...] == 14).all()
