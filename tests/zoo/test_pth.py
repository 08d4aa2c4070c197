"""The state dict reader: both layouts, and nothing but tensors."""

# The Python pickler has no public annotations.
# mypy: disable-error-code="attr-defined, misc, explicit-override"

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maccel_aio.zoo import _pth

STORAGES = {"float32": "FloatStorage", "int64": "LongStorage", "uint8": "ByteStorage"}


class Global:
    """Pickles as a reference to a global of any module."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """Pickles as the call of a global."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


class Storage:
    """Pickles as PyTorch's persistent reference to a storage."""

    def __init__(self, key, array):
        self.key, self.array = key, array


class Writer(pickle._Pickler):
    """Writes what PyTorch writes, without PyTorch."""

    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            kind = Global("torch", STORAGES[obj.array.dtype.name])
            return "storage", kind, obj.key, "cpu", obj.array.size
        return None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(b"R")
        else:
            super().save(obj, save_persistent_id)


REBUILD = Global("torch._utils", "_rebuild_tensor_v2")


def dump(value):
    file = io.BytesIO()
    Writer(file, protocol=2).dump(value)
    return file.getvalue()


def tensor(key, array, *, offset=0, shape=None, strides=None):
    shape = array.shape if shape is None else shape
    if strides is None:
        strides = tuple(step // array.itemsize for step in array.strides)
    return Call(REBUILD, Storage(key, array), offset, shape, strides, False, OrderedDict())


def zip_file(path, state, storages):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", dump(state))
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())
    return path


def legacy_file(path, state, storages):
    parts = [dump(_pth._LEGACY_MAGIC), dump(1001), dump({"little_endian": True}), dump(state)]
    parts.append(dump(list(storages)))
    for array in storages.values():
        parts += [struct.pack("<q", array.size), array.tobytes()]
    path.write_bytes(b"".join(parts))
    return path


LAYOUTS = pytest.mark.parametrize("write", [zip_file, legacy_file])


@LAYOUTS
def test_tensors_come_back_whole(write, tmp_path):
    weight = np.arange(12, dtype=np.float32).reshape(3, 4)
    count = np.array(7, np.int64)
    state = {"conv.weight": tensor("0", weight), "bn.count": tensor("1", count)}
    loaded = _pth.load(write(tmp_path / "w.pth", state, {"0": weight, "1": count}))
    assert list(loaded) == ["conv.weight", "bn.count"]
    np.testing.assert_array_equal(loaded["conv.weight"], weight)
    assert loaded["bn.count"].dtype == np.int64
    assert loaded["bn.count"].shape == ()
    assert loaded["bn.count"] == 7


@LAYOUTS
def test_views_of_one_storage_keep_their_place_and_strides(write, tmp_path):
    data = np.arange(10, dtype=np.float32)
    state = {
        "tail": tensor("0", data, offset=6, shape=(4,), strides=(1,)),
        "transposed": tensor("0", data, shape=(2, 3), strides=(1, 2)),
    }
    loaded = _pth.load(write(tmp_path / "w.pth", state, {"0": data}))
    np.testing.assert_array_equal(loaded["tail"], [6, 7, 8, 9])
    np.testing.assert_array_equal(loaded["transposed"], data[:6].reshape(3, 2).T)


@given(array=arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0)))
def test_any_array_survives(array, tmp_path_factory):
    path = tmp_path_factory.mktemp("pth") / "w.pth"
    loaded = _pth.load(zip_file(path, {"x": tensor("0", array)}, {"0": array}))
    np.testing.assert_array_equal(loaded["x"], array)


@LAYOUTS
@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("numpy", "frombuffer")],
)
def test_any_other_global_is_refused_before_it_is_called(write, module, name, tmp_path):
    path = write(tmp_path / "w.pth", {"x": Call(Global(module, name), "1")}, {})
    with pytest.raises(_pth.PthError, match=rf"refers to {module}.{name}: refused"):
        _pth.load(path)


@LAYOUTS
@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (5,), (1,)), (2, (3,), (1,)), (0, (2, 2), (4, 1)), (-1, (1,), (1,)), (0, (2,), (-1,))],
)
def test_a_tensor_outside_its_storage_is_an_error(write, offset, shape, strides, tmp_path):
    data = np.zeros(4, np.float32)
    state = {"x": tensor("0", data, offset=offset, shape=shape, strides=strides)}
    with pytest.raises(_pth.PthError, match=r"tensor"):
        _pth.load(write(tmp_path / "w.pth", state, {"0": data}))


def test_a_tensor_that_repeats_its_storage_without_end_is_an_error(tmp_path):
    data = np.zeros(4, np.float32)
    state = {"x": tensor("0", data, shape=(1 << 40,), strides=(0,))}
    with pytest.raises(_pth.PthError, match=r"beyond its storage"):
        _pth.load(zip_file(tmp_path / "w.pth", state, {"0": data}))


@LAYOUTS
@pytest.mark.parametrize("state", [[1, 2], {"x": 3}, "text", {"x": {"y": 1}}])
def test_what_is_no_state_dict_is_an_error(write, state, tmp_path):
    with pytest.raises(_pth.PthError, match=r"not a state dict"):
        _pth.load(write(tmp_path / "w.pth", state, {}))


@LAYOUTS
def test_a_damaged_file_is_an_error_wherever_it_ends(write, tmp_path):
    data = np.arange(40, dtype=np.float32)
    whole = write(tmp_path / "w.pth", {"x": tensor("0", data)}, {"0": data}).read_bytes()
    for length in range(0, len(whole) - 1, 7):
        path = tmp_path / "cut.pth"
        path.write_bytes(whole[:length])
        with pytest.raises(_pth.PthError):
            _pth.load(path)


def test_a_memo_that_would_fill_the_memory_is_refused(tmp_path):
    path = tmp_path / "memo.pth"
    path.write_bytes(b"\x80\x02Nr\xff\xff\xff\x7f.")
    with pytest.raises(_pth.PthError, match="numbers more objects"):
        _pth.load(path)


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_gives_tensors_or_a_typed_error(position, bit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pth")
    data = np.arange(40, dtype=np.float32)
    path = legacy_file(folder / "w.pth", {"x": tensor("0", data)}, {"0": data})
    altered = bytearray(path.read_bytes())
    altered[position % len(altered)] ^= 1 << bit
    path.write_bytes(altered)
    try:
        loaded = _pth.load(path)
    except _pth.PthError:
        return
    assert all(isinstance(array, np.ndarray) for array in loaded.values())


def test_a_missing_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        _pth.load(tmp_path / "absent.pth")
