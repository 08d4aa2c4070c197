"""Statistics of intermediate tensors, against numpy on the tensors themselves."""

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from maccel_aio.compiler.calibration import TappedModel, collect, default_axis


def small_model() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Shape", ["r"], ["s"]),
        helper.make_node("Neg", ["r"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 4, 4])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def samples(count: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(size=(1, 3, 4, 4)).astype(np.float32)} for _ in range(count)]


def test_statistics_equal_numpy_on_all_values() -> None:
    feeds = samples(4)
    stats = collect(TappedModel(small_model(), ["r", "s"]), feeds)
    every = np.maximum(np.concatenate([f["x"] for f in feeds]), 0)
    found = stats["r"]
    low, high = found.channel_range()
    np.testing.assert_array_equal(low, every.min(axis=(0, 2, 3)))
    np.testing.assert_array_equal(high, every.max(axis=(0, 2, 3)))
    np.testing.assert_allclose(found.channel_mean(), every.mean(axis=(0, 2, 3)), rtol=1e-6)
    assert found.low == 0
    assert found.high == every.max()
    assert len(found.minimum) == 4


def test_inputs_and_outputs_are_counted_and_integers_are_not() -> None:
    stats = collect(TappedModel(small_model(), ["r", "s", "no such tensor"]), samples(1))
    assert set(stats) == {"x", "r", "y"}


def test_the_channel_axis_can_be_given() -> None:
    stats = collect(TappedModel(small_model(), []), samples(1), axes={"y": 3})
    assert stats["y"].channel_mean().shape == (4,)


def test_one_sample_is_alive_at_a_time() -> None:
    made: list[int] = []
    seen: list[tuple[int, int]] = []

    def source() -> Iterator[dict[str, np.ndarray]]:
        for index, feed in enumerate(samples(3)):
            made.append(index)
            yield feed

    collect(
        TappedModel(small_model(), []), source(), progress=lambda n: seen.append((n, len(made)))
    )
    assert seen == [(1, 1), (2, 2), (3, 3)]


def test_no_samples_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        collect(TappedModel(small_model(), []), [])


def test_a_tensor_that_is_not_finite_has_no_statistics(
    caplog: pytest.LogCaptureFixture,
) -> None:
    feed = samples(1)[0]
    feed["x"][0, 0, 0, :2] = [np.inf, -np.inf]
    assert collect(TappedModel(small_model(), []), [feed]) == {}
    assert "'x' is not finite" in caplog.text


@pytest.mark.parametrize(("rank", "axis"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 1), (5, 1)])
def test_default_axis(rank: int, axis: int) -> None:
    assert default_axis(rank) == axis
