"""What the value types of both packages do where the vendor's misbehave, and by themselves."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from maccel_aio.compat import maccel, qbruntime

BOTH = pytest.mark.parametrize("package", [maccel, qbruntime])


@BOTH
def test_a_scale_has_no_channels_beyond_its_list(package: Any) -> None:
    scale = package.Scale(0.5, False, [1, 2, 0.1])
    assert list(scale) == [1.0, 2.0, float(np.float32(0.1))]
    for index in (3, -1, 10**8):
        with pytest.raises(IndexError, match="has 3"):
            scale[index]
    with pytest.raises(TypeError, match="uniform"):
        iter(package.Scale(0.5, True, []))


@BOTH
def test_a_scale_is_single_precision_and_its_list_a_copy(package: Any) -> None:
    scale = package.Scale(1e300, True, [0.1])
    scale.scale_list.append(1.0)
    assert (scale.scale, scale[10**6], scale.scale_list) == (
        float("inf"), float("inf"), [float(np.float32(0.1))],
    )  # fmt: skip


@BOTH
def test_core_ids_have_an_order_and_a_hash(package: Any) -> None:
    every = [package.CoreId(cluster, core) for cluster in package.Cluster for core in package.Core]
    shuffled = every[1::2] + every[::2]
    assert sorted(shuffled) == every
    assert len(set(every + [copy.copy(one) for one in every])) == len(every)
    assert every[0] <= every[0] < every[1]
    assert every[0] != 1
    assert None not in every


def test_the_two_packages_do_not_mix() -> None:
    one = maccel.CoreId(maccel.Cluster.Cluster0, maccel.Core.Core0)
    other = qbruntime.CoreId(qbruntime.Cluster.Cluster0, qbruntime.Core.Core0)
    assert one != other
    with pytest.raises(TypeError):
        maccel.ModelConfig().set_single_core_mode(core_ids=[other])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        maccel.CoreId(qbruntime.Cluster.Cluster0, maccel.Core.Core0)  # type: ignore[arg-type]


@BOTH
def test_a_buffer_keeps_what_it_is_given(package: Any) -> None:
    given = np.arange(5, dtype=np.int8)
    buffer = package.Buffer()
    buffer.set_buffer(given)
    assert repr(buffer) == "Buffer(size=5)"
    assert np.shares_memory(buffer._buffer.array, given)
    buffer.set_buffer([1, 2])
    assert buffer._buffer.array.tolist() == [1, 2]


@BOTH
def test_sizes_do_not_wrap(package: Any) -> None:
    assert package.BufferInfo(height=65536, width=65536, channel=3).size() == 3 << 32


@BOTH
@pytest.mark.parametrize("kind", ["BufferInfo", "CacheInfo", "ModelConfig", "Buffer"])
def test_values_survive_a_pickle(package: Any, kind: str) -> None:
    made = getattr(package, kind)()
    again = pickle.loads(pickle.dumps(made))
    assert vars(again).keys() == vars(made).keys()
    if kind != "CacheInfo":
        assert repr(again) == repr(made)


@BOTH
def test_enum_members_survive_a_pickle(package: Any) -> None:
    for member in [*package.Core, *package.CoreMode, *package.LogLevel]:
        assert pickle.loads(pickle.dumps(member)) is member


def test_zero_points_are_those_of_int8() -> None:
    assert qbruntime.Scale(1, True, [], -128, True, [127]).zero_points == [127]
    with pytest.raises(TypeError):
        qbruntime.Scale(1, True, [], 128)
