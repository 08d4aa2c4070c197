"""The calls of the classic models about their KV caches."""

from __future__ import annotations

import abc
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from maccel_aio.compat._shared import convert
from maccel_aio.compat._shared.status import StatusCode
from maccel_aio.errors import CacheOverflowError, InvalidError, MaccelError

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable, Iterator, Sequence

    from maccel_aio._core._state import CacheInfo
    from maccel_aio.compat._shared.engine import Engine
    from maccel_aio.compat._shared.raw_model import RawModel

InfoT = TypeVar("InfoT")


class BaseCaches(abc.ABC, Generic[InfoT]):
    """What the models of both packages have. A cache is what one layer keeps, in each slot.

    Contents are those of a whole slot: float32, row-major, little-endian.
    """

    _model: RawModel[Any]
    _cache_info: ClassVar[Callable[..., Any]]
    _cache_types: ClassVar[type[enum.Enum]]

    def get_cache_infos(self) -> list[InfoT]:
        """Return a description of every cache; none for a model that keeps nothing."""
        return [self._info(info) for info in self._model.caches]

    def _info(self, info: CacheInfo) -> InfoT:
        name = "Batch" if info.slots > 1 else "Default"
        if info.axis is None and "FixedTailCache" in self._cache_types.__members__:
            name = "FixedTailCache"
        made: InfoT = self._cache_info(
            self._cache_types[name], info.name, info.layer_hash, info.size, info.slots
        )
        return made

    def filter_cache_tail(self, cache_size: int, tail_size: int, mask: list[bool]) -> int:
        """Keep the rows of the tail of slot 0 that a mask says; return the new number of tokens.

        Args:
            cache_size: tokens in the slot.
            tail_size: how many of the last of them the mask is about, at most 32.
            mask: one truth value a row of the tail.

        Raises:
            TypeError: if a number is none.
            ValueError: if the numbers do not suit each other.
            RuntimeError: ``Model_NoCache``, ``Model_CacheOverflow`` or ``Model_NotLaunched``.
        """
        size, tail = convert.int32(cache_size), convert.int32(tail_size)
        with self._engine() as engine:
            return engine.filter_cache_tail(size, tail, mask)

    def move_cache_tail(self, num_head: int, num_tail: int, cache_size: int) -> int:
        """Move the last rows of slot 0 to just behind the first; return the new number of tokens.

        Args:
            num_head: rows at the beginning that stay.
            num_tail: rows at the end that follow them afterwards.
            cache_size: tokens in the slot.

        Raises:
            TypeError: if a number is none.
            ValueError: if head and tail together are more than the slot holds.
            RuntimeError: ``Model_NoCache``, ``Model_CacheOverflow`` or ``Model_NotLaunched``.
        """
        numbers = map(convert.int32, (num_head, num_tail, cache_size))
        with self._engine() as engine:
            return engine.move_cache_tail(*numbers)

    # ---- for the faces

    @contextlib.contextmanager
    def _engine(self) -> Iterator[Engine]:
        """Give out the model of the core, and turn its errors into those of the face."""
        model = self._model
        if not model.caches:
            why = "the model keeps nothing from one call to the next"
            raise model.error.of(StatusCode.Model_NoCache, why, model.path)
        try:
            yield model.running().engine
        except CacheOverflowError as problem:
            raise model.error.wrap(problem) from problem
        except InvalidError as problem:
            raise ValueError(problem.reason) from problem
        except MaccelError as problem:
            raise model.error.wrap(problem) from problem

    def _slot(self, cache_id: object) -> int:
        number = convert.int32(cache_id)
        if self._model.caches and not 0 <= number < self._model.caches[0].slots:
            why = f"there is no cache_id {number}: the model has {self._model.caches[0].slots}"
            raise self._model.error.of(StatusCode.Model_NoCache, why, self._model.path)
        return number

    def _find(self, attribute: str, value: object) -> CacheInfo:
        wanted = convert.text(value)
        for info in self._model.caches:
            if getattr(info, attribute) == wanted:
                return info
        why = f"there is no cache with the {attribute} {wanted!r}"
        raise self._model.error.of(StatusCode.Model_NoCache, why, self._model.path)

    def _dump(self, cache_id: object) -> list[bytes]:
        slot = self._slot(cache_id)
        with self._engine() as engine:
            return list(engine.dump_cache(slot).values())

    def _dump_one(self, info: CacheInfo, cache_id: object) -> bytes:
        slot = self._slot(cache_id)
        with self._engine() as engine:
            return engine.dump_cache(slot)[info.name]

    def _load(self, contents: Sequence[bytes], cache_id: object) -> None:
        for one in contents:
            _check_bytes(one)
        if self._model.caches and len(contents) != len(self._model.caches):
            why = f"the model has {len(self._model.caches)} caches, got {len(contents)} contents"
            raise self._model.error.of(StatusCode.Model_NumCacheMismatched, why, self._model.path)
        self._load_some(dict(zip(self._model.caches, contents, strict=False)), cache_id)

    def _load_some(self, contents: dict[CacheInfo, bytes], cache_id: object) -> None:
        slot = self._slot(cache_id)
        for info, data in contents.items():
            _check_bytes(data)
            if len(data) != info.size:
                why = f"cache {info.name!r} has {info.size} bytes, got {len(data)}"
                code = StatusCode.Model_BufferSizeMismatched
                raise self._model.error.of(code, why, self._model.path)
        with self._engine() as engine:
            engine.load_cache({info.name: data for info, data in contents.items()}, slot)

    def _reset(self, cache_id: object, fixed_only: bool) -> None:
        slot = self._slot(cache_id)
        with self._engine() as engine:
            engine.reset_cache(slot, fixed_only=fixed_only)

    # ---- folders

    def _folder(self, cache_dir: object) -> Path:
        folder = Path(convert.text(cache_dir))
        if not folder.is_dir():
            code = StatusCode.Model_FailedToFindDirectory
            raise self._model.error.of(code, f"{folder} is no folder", str(folder))
        return folder

    def _dump_to(self, cache_dir: object, cache_id: object) -> None:
        folder = self._folder(cache_dir)
        for info, data in zip(self._model.caches, self._dump(cache_id), strict=True):
            with self._file(folder, info) as path:
                path.write_bytes(data)

    def _load_from(self, cache_dir: object, cache_id: object) -> None:
        folder = self._folder(cache_dir)
        contents = {}
        for info in self._model.caches:
            with self._file(folder, info) as path:
                contents[info] = path.read_bytes()
        self._load_some(contents, cache_id)

    @contextlib.contextmanager
    def _file(self, folder: Path, info: CacheInfo) -> Iterator[Path]:
        path = folder / f"cache_{info.layer_hash}.bin"
        try:
            yield path
        except OSError as problem:
            code = StatusCode.Model_FailedToOpenCacheFile
            raise self._model.error.of(code, str(problem), str(path)) from problem


def _check_bytes(data: object) -> None:
    if not isinstance(data, bytes):
        raise TypeError(f"the contents of a cache are bytes, not a {type(data).__name__}")


class MaccelCaches(BaseCaches[InfoT]):
    """What ``maccel.Model`` has: one slot."""

    def reset_cache_memory(self) -> None:
        """Fill the caches with zeros; nothing happens to a model without.

        Raises:
            MAccelError: ``Model_NotLaunched``.
        """
        if self._model.caches:
            self._reset(0, fixed_only=False)

    def dump_cache_memory(self) -> list[bytes]:
        """Return the contents of each cache.

        Raises:
            MAccelError: ``Model_NoCache`` or ``Model_NotLaunched``.
        """
        return self._dump(0)

    def load_cache_memory(self, bufs: list[bytes]) -> None:
        """Put contents back.

        Args:
            bufs: one for each cache, in the order of ``get_cache_infos``.

        Raises:
            TypeError: if they are no bytes.
            MAccelError: ``Model_NoCache``, ``Model_NotLaunched``, ``Model_NumCacheMismatched`` or
                ``Model_BufferSizeMismatched``; nothing is changed then.
        """
        self._load(bufs, 0)

    def dump_cache_memory_to(self, cache_dir: str) -> None:
        """Write the contents to files ``cache_<layer_hash>.bin``.

        Args:
            cache_dir: an existing folder.

        Raises:
            MAccelError: ``Model_FailedToFindDirectory``, ``Model_FailedToOpenCacheFile``,
                ``Model_NoCache`` or ``Model_NotLaunched``.
        """
        self._dump_to(cache_dir, 0)

    def load_cache_memory_from(self, cache_dir: str) -> None:
        """Put back what ``dump_cache_memory_to`` wrote.

        Args:
            cache_dir: the folder.

        Raises:
            MAccelError: as ``dump_cache_memory_to`` and ``load_cache_memory`` do.
        """
        self._load_from(cache_dir, 0)


class QbRuntimeCaches(BaseCaches[InfoT]):
    """What ``qbruntime.Model`` has: slots by ``cache_id``."""

    def dump_cache_memory(self, cache_id: int = 0) -> list[bytes]:
        """Return the contents of each cache in a slot.

        Raises:
            QbRuntimeError: ``Model_NoCache``, also if there is no such slot; ``Model_NotLaunched``.
        """
        return self._dump(cache_id)

    def load_cache_memory(self, bufs: list[bytes], cache_id: int = 0) -> None:
        """Put contents back into a slot.

        Args:
            bufs: one for each cache, in the order of ``get_cache_infos``.
            cache_id: the slot.

        Raises:
            TypeError: if they are no bytes.
            QbRuntimeError: ``Model_NoCache``, ``Model_NotLaunched``, ``Model_NumCacheMismatched``
                or ``Model_BufferSizeMismatched``; nothing is changed then.
        """
        self._load(bufs, cache_id)

    def dump_cache_memory_to(self, cache_dir: str, cache_id: int = 0) -> None:
        """Write the contents of a slot to files ``cache_<layer_hash>.bin``.

        Args:
            cache_dir: an existing folder.
            cache_id: the slot.

        Raises:
            QbRuntimeError: ``Model_FailedToFindDirectory``, ``Model_FailedToOpenCacheFile``,
                ``Model_NoCache`` or ``Model_NotLaunched``.
        """
        self._dump_to(cache_dir, cache_id)

    def load_cache_memory_from(self, cache_dir: str, cache_id: int = 0) -> None:
        """Put back what ``dump_cache_memory_to`` wrote, into any slot.

        Args:
            cache_dir: the folder.
            cache_id: the slot.

        Raises:
            QbRuntimeError: as ``dump_cache_memory_to`` and ``load_cache_memory`` do.
        """
        self._load_from(cache_dir, cache_id)

    def dump_cache_memory_by_name(self, name: str, cache_id: int = 0) -> bytes:
        """Return the contents of one cache in a slot.

        Args:
            name: as ``get_cache_infos`` has it.
            cache_id: the slot.

        Raises:
            QbRuntimeError: ``Model_NoCache`` or ``Model_NotLaunched``.
        """
        return self._dump_one(self._find("name", name), cache_id)

    def dump_cache_memory_by_layer_hash(self, layer_hash: str, cache_id: int = 0) -> bytes:
        """Return the contents of one cache in a slot.

        Args:
            layer_hash: as ``get_cache_infos`` has it.
            cache_id: the slot.

        Raises:
            QbRuntimeError: ``Model_NoCache`` or ``Model_NotLaunched``.
        """
        return self._dump_one(self._find("layer_hash", layer_hash), cache_id)

    def load_cache_memory_by_name(self, buf: bytes, name: str, cache_id: int = 0) -> None:
        """Put the contents of one cache back into a slot.

        Args:
            buf: the contents.
            name: as ``get_cache_infos`` has it.
            cache_id: the slot.

        Raises:
            TypeError: if they are no bytes.
            QbRuntimeError: ``Model_NoCache``, ``Model_NotLaunched`` or
                ``Model_BufferSizeMismatched``.
        """
        self._load_some({self._find("name", name): buf}, cache_id)

    def load_cache_memory_by_layer_hash(
        self, buf: bytes, layer_hash: str, cache_id: int = 0
    ) -> None:
        """Put the contents of one cache back into a slot.

        Args:
            buf: the contents.
            layer_hash: as ``get_cache_infos`` has it.
            cache_id: the slot.

        Raises:
            TypeError: if they are no bytes.
            QbRuntimeError: ``Model_NoCache``, ``Model_NotLaunched`` or
                ``Model_BufferSizeMismatched``.
        """
        self._load_some({self._find("layer_hash", layer_hash): buf}, cache_id)

    def reset_fixed_tail_cache_memory(self, cache_id: int = 0) -> None:
        """Fill the caches of a slot that have a fixed size with zeros.

        Args:
            cache_id: the slot.

        Raises:
            QbRuntimeError: ``Model_NoCache``, also if there is no such slot; ``Model_NotLaunched``.
        """
        self._reset(cache_id, fixed_only=True)
