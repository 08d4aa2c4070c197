"""Reads a PyTorch state dict with numpy alone, and without running any code in the file.

Both layouts are known: the zip archive that PyTorch writes since 1.6, and the older sequence of
pickles followed by raw storages. The unpickler knows a closed list of names; any other is an
error, so a hostile file cannot call anything. What the names stand for is shared between files and
therefore has no attribute that a pickle could set.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
import warnings
import zipfile
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from maccel_aio._typing import override

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_HEADERS = 3
#: More than any state dict puts into the memo of a pickle.
_MOST_MEMO = 1 << 20
_DTYPES: dict[str, Any] = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


class PthError(ValueError):
    """The file is not a state dict of plain tensors."""


class _StorageType(NamedTuple):
    dtype: np.dtype[Any]


@dataclass
class _Storage:
    """Elements of one or more tensors; `data` is set once the file has been read that far."""

    dtype: np.dtype[Any]
    data: NDArray[Any] | None = None


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> NDArray[Any]:
        """Return the elements as an array of their own, after a bounds check."""
        data = self.storage.data
        numbers = (self.offset, *self.shape, *self.strides)
        if data is None or len(self.shape) != len(self.strides) or min(numbers) < 0:
            raise PthError("a tensor has no data, or a malformed shape")
        if 0 in self.shape:
            return np.empty(self.shape, self.storage.dtype)
        last = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if max(self.offset + last + 1, math.prod(self.shape)) > data.size:
            raise PthError(f"a tensor of shape {self.shape} reaches beyond its storage")
        steps = [stride * data.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(data[self.offset :], self.shape, steps).copy()


class _RebuildTensor:
    __slots__ = ()

    def __call__(
        self, storage: object, offset: object, shape: object, strides: object, *_unused: object
    ) -> _Tensor:
        match storage, offset, shape, strides:
            case (_Storage() as elements, int(start), tuple(sizes), tuple(steps)) if all(
                isinstance(number, int) for number in (*sizes, *steps)
            ):
                return _Tensor(elements, start, sizes, steps)
        raise PthError("a tensor is not built from a storage and whole numbers")


class _RebuildParameter:
    __slots__ = ()

    def __call__(self, tensor: object, *_unused: object) -> object:
        return tensor


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _RebuildTensor(),
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    **{("torch", name): _StorageType(np.dtype(dtype)) for name, dtype in _DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows tensors, their storages and nothing else."""

    def __init__(self, file: BinaryIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self._file = file
        self._storages = storages

    @override
    def load(self) -> Any:  # noqa: ANN401 - what a pickle holds
        """Load one pickle after a look at its memo: room is made up to its largest number."""
        start = self._file.tell()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in a damaged text: not for the caller
            for opcode, argument, _ in pickletools.genops(self._file):
                if opcode.name.endswith("PUT") and int(argument or 0) >= _MOST_MEMO:
                    raise PthError("the file numbers more objects than a state dict has")
            self._file.seek(start)
            return super().load()

    @override
    def find_class(self, module_name: str, global_name: str, /) -> object:
        try:
            return _KNOWN[module_name, global_name]
        except KeyError:
            raise PthError(f"the file refers to {module_name}.{global_name}: refused") from None

    @override
    def persistent_load(self, pid: object) -> _Storage:
        match pid:
            case ("storage", _StorageType(dtype=dtype), str(key), *_):
                return self._storages.setdefault(key, _Storage(dtype))
        raise PthError("the file has a reference that is not a storage")


def load(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a state dict by name.

    Raises:
        PthError: the file is damaged, or holds anything but plain tensors.
        OSError: the file cannot be read.
    """
    try:
        if zipfile.is_zipfile(path):
            state = _load_zip(path)
        else:
            # From memory: a damaged length then reads what is there and makes no more room.
            state = _load_legacy(io.BytesIO(path.read_bytes()))
        return {str(name): tensor.array() for name, tensor in state.items()}
    except PthError as error:
        raise PthError(f"{path}: {error}") from error
    # A damaged pickle or archive fails in any of these ways, depending on the byte.
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError) as error:
        raise PthError(f"{path} is damaged: {error}") from error
    except (EOFError, ValueError, struct.error, pickle.UnpicklingError) as error:
        raise PthError(f"{path} is damaged: {error}") from error
    except (RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise PthError(f"{path} is damaged: {error}") from error


def _tensors_of(value: object) -> dict[Any, _Tensor]:
    if not isinstance(value, dict) or not all(isinstance(v, _Tensor) for v in value.values()):
        raise PthError("the file is not a state dict: a mapping of names to tensors")
    return value


def _load_zip(path: Path) -> dict[Any, _Tensor]:
    storages: dict[str, _Storage] = {}
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        index = next((n for n in archive.namelist() if n.endswith("/data.pkl")), None)
        if index is None:
            raise PthError("the archive has no data.pkl")
        state = _tensors_of(_Unpickler(io.BytesIO(archive.read(index)), storages).load())
        root = index.removesuffix("data.pkl")
        for key, storage in storages.items():
            storage.data = np.frombuffer(archive.read(f"{root}data/{key}"), storage.dtype)
    return state


def _load_legacy(file: BinaryIO) -> dict[Any, _Tensor]:
    """Read magic, version and system (three pickles), the state, the keys, then raw storages."""
    storages: dict[str, _Storage] = {}
    if _Unpickler(file, storages).load() != _LEGACY_MAGIC:
        raise PthError("the file is not a state dict: its magic number is missing")
    for _ in range(_LEGACY_HEADERS - 1):
        _Unpickler(file, storages).load()
    state = _tensors_of(_Unpickler(file, storages).load())
    for key in _Unpickler(file, storages).load():
        storage = storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        size = count * storage.dtype.itemsize
        data = file.read(size) if count >= 0 else b""
        if len(data) != size:
            raise PthError("the file ends within a storage")
        storage.data = np.frombuffer(data, storage.dtype)
    return state
