"""Bad model files: a typed error with reason and path, before anything runs, and never a crash.

Damage to the container is caught by structure and digests. A hostile file has right digests,
so the files of the second half are altered inside and digested again.
"""

import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import maccel_aio
import maccel_aio.sync
from tests import networks

HEADER = 64
ENTRY = 64
MANIFEST, PROGRAM, CONSTS = 1, 2, 3
WORKER = "tests.hostile_worker"
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("good")
    return networks.compile_to(folder, networks.mixed(), "mixed").read_bytes()


@pytest.fixture
def load(tmp_path: Path) -> Callable[[bytes], None]:
    """Load the given bytes as a model, and close it."""

    def load_bytes(data: bytes) -> None:
        path = tmp_path / "bad.mxq"
        path.write_bytes(data)
        with maccel_aio.sync.load(path):
            pass

    return load_bytes


def sections(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (place of the table entry, type, offset, size) of each section."""
    (count,) = struct.unpack_from("<I", data, 16)
    for index in range(count):
        at = HEADER + index * ENTRY
        kind, _, offset, size = struct.unpack_from("<IIQQ", data, at)
        yield at, kind, offset, size


def expect_format_error(load: Callable[[bytes], None], data: bytes) -> str:
    """Check the error of one bad file; return its reason."""
    with pytest.raises(maccel_aio.ModelFormatError) as caught:
        load(data)
    assert caught.value.reason
    assert caught.value.path is not None
    assert caught.value.path.endswith("bad.mxq")
    assert caught.value.path in str(caught.value)
    return caught.value.reason


def test_the_undamaged_file_loads(good: bytes, load: Callable[[bytes], None]) -> None:
    load(good)


def test_a_truncated_file_is_refused_at_every_length(
    good: bytes, load: Callable[[bytes], None]
) -> None:
    table_end = HEADER + ENTRY * len(list(sections(good)))
    lengths = [*range(table_end + 2), *range(table_end, len(good), 997), len(good) - 1]
    for length in lengths:
        expect_format_error(load, good[:length])


def test_a_file_with_something_after_its_end_is_refused(
    good: bytes, load: Callable[[bytes], None]
) -> None:
    expect_format_error(load, good + bytes(64))


@pytest.mark.timeout(300)
def test_a_flipped_bit_in_header_or_table_is_refused(
    good: bytes, load: Callable[[bytes], None]
) -> None:
    rng = np.random.default_rng(3)
    for place in range(HEADER + ENTRY * len(list(sections(good)))):
        for mask in {1 << int(rng.integers(8)), 0xFF}:
            damaged = bytearray(good)
            damaged[place] ^= mask
            expect_format_error(load, bytes(damaged))


def test_a_flipped_bit_in_any_section_is_refused(
    good: bytes, load: Callable[[bytes], None]
) -> None:
    rng = np.random.default_rng(4)
    for _, _, offset, size in sections(good):
        for place in {0, size - 1, *rng.integers(0, size, 20).tolist()}:
            damaged = bytearray(good)
            damaged[offset + place] ^= 1 << int(rng.integers(8))
            assert "sha256" in expect_format_error(load, bytes(damaged))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "0 bytes"),
        (b"\0" * 4096, "not a model"),
        (b"ONNX" * 1000, "not a model"),
        (b"#!/bin/sh\necho hello\n" * 10, "not a model"),
        (b"MXQ\x07" + b"\x11" * 4096, "vendor"),
        (b"MXQAIO\n" + b"\0" * 4096, "text mode"),
    ],
    ids=["empty", "zeros", "letters", "script", "vendor", "line ends"],
)
def test_a_file_of_another_kind_is_named_for_what_it_is(
    content: bytes, word: str, load: Callable[[bytes], None]
) -> None:
    assert word in expect_format_error(load, content)


def test_a_file_of_a_later_version_says_so(good: bytes, load: Callable[[bytes], None]) -> None:
    later = bytearray(good)
    struct.pack_into("<I", later, 8, 2)
    assert "version 2" in expect_format_error(load, bytes(later))


@pytest.mark.parametrize(
    ("place", "form", "value"),
    [
        (16, "<I", 0),
        (16, "<I", 4096),
        (16, "<I", 2**32 - 1),
        (24, "<Q", 2**64 - 1),
        (32, "<Q", 2**63),
        (HEADER + 8, "<Q", 2**64 - 64),
        (HEADER + 8, "<Q", 0),
        (HEADER + 16, "<Q", 2**64 - 1),
        (HEADER + 16, "<Q", 2**63),
    ],
)
def test_hostile_sizes_are_refused(
    good: bytes, load: Callable[[bytes], None], place: int, form: str, value: int
) -> None:
    hostile = bytearray(good)
    struct.pack_into(form, hostile, place, value)
    expect_format_error(load, bytes(hostile))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=512), magic=st.booleans())
def test_arbitrary_bytes_are_refused(
    load: Callable[[bytes], None], data: bytes, magic: bool
) -> None:
    expect_format_error(load, (b"MXQAIO\r\n\1\0\0\0" if magic else b"") + data)


async def test_the_async_face_raises_the_same_error(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.mxq"
    path.write_bytes(good[:-1])
    with pytest.raises(maccel_aio.ModelFormatError) as caught:
        await maccel_aio.load(path)
    assert caught.value.path == str(path)


def test_a_missing_file_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.mxq"):
        maccel_aio.sync.load(tmp_path / "missing.mxq")


def digested(data: bytearray) -> bytes:
    """Return the file with the digest of every section made right."""
    for at, _, offset, size in list(sections(bytes(data))):
        data[at + 24 : at + 56] = hashlib.sha256(data[offset : offset + size]).digest()
    return bytes(data)


def with_manifest(good: bytes, text: bytes) -> bytes:
    """Return the file with another manifest, as its last section."""
    at = next(at for at, kind, _, _ in sections(good) if kind == MANIFEST)
    others = [(entry, good[o : o + s]) for entry, _, o, s in sections(good)]
    count = len(others)
    out = bytearray(good[: HEADER + ENTRY * count])
    for entry, body in others:
        content = text if entry == at else body
        out += bytes(-len(out) % 64)
        struct.pack_into("<QQ", out, entry + 8, len(out), len(content))
        out += content
    out += bytes(-len(out) % 64)
    struct.pack_into("<Q", out, 24, len(out))
    return digested(out)


def manifest_of(good: bytes) -> dict[str, object]:
    _, _, offset, size = next(s for s in sections(good) if s[1] == MANIFEST)
    parsed: dict[str, object] = json.loads(good[offset : offset + size])
    return parsed


def test_rewriting_the_manifest_keeps_a_sound_file(
    good: bytes, load: Callable[[bytes], None]
) -> None:
    load(with_manifest(good, json.dumps(manifest_of(good)).encode()))


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"{}", b'{"format": 1}', b"\xff\xfe", b"[" * 100_000, b"1e999"],
    ids=range(9),
)
def test_a_manifest_that_is_none_is_refused(
    good: bytes, load: Callable[[bytes], None], text: bytes
) -> None:
    expect_format_error(load, with_manifest(good, text))


def paths_of(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every value inside a JSON value."""
    if path:
        yield path
    items: Iterator[tuple[str | int, object]]
    items = iter(value.items() if isinstance(value, dict) else ())
    if isinstance(value, list):
        items = iter(enumerate(value))
    for key, inner in items:
        yield from paths_of(inner, (*path, key))


def replaced(manifest: object, path: tuple[str | int, ...], value: object) -> object:
    copy = json.loads(json.dumps(manifest))
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return copy


@pytest.mark.timeout(300)
def test_a_wrong_value_anywhere_in_the_manifest_is_refused_or_harmless(
    good: bytes, load: Callable[[bytes], None]
) -> None:
    """Names may say anything; whatever matters raises, and nothing raises anything else."""
    manifest = manifest_of(good)
    wrong: tuple[object, ...] = (None, -1, 2**40, "x", [], {})
    refused = 0
    for path in [p for p in paths_of(manifest) if p[0] in ("format", "variants", "layers")]:
        for value in wrong:
            text = json.dumps(replaced(manifest, path, value)).encode()
            try:
                load(with_manifest(good, text))
            except maccel_aio.ModelFormatError:
                refused += 1
    assert refused > 100


def hostile_programs(good: bytes, count: int) -> Iterator[bytes]:
    """Yield files with one altered word in a program or its constants, and right digests."""
    rng = np.random.default_rng(5)
    targets = [s for s in sections(good) if s[1] == PROGRAM]
    words = (0, 1, 2, 3, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 64)
    for _ in range(count):
        _, _, offset, size = targets[int(rng.integers(len(targets)))]
        place = offset + int(rng.integers(size // 4)) * 4
        altered = bytearray(good)
        (old,) = struct.unpack_from("<I", altered, place)
        near = (old + int(rng.integers(-2, 3))) % 2**32
        value = near if rng.integers(2) else words[int(rng.integers(len(words)))]
        struct.pack_into("<I", altered, place, value)
        yield digested(altered)


@pytest.mark.timeout(600)
def test_an_altered_program_is_refused_or_runs_inside_its_memory(
    good: bytes, tmp_path: Path
) -> None:
    """What the verifier lets pass is executed: a crash or a hang of the worker fails the test."""
    for number, data in enumerate(hostile_programs(good, 400)):
        (tmp_path / f"{number:04}.mxq").write_bytes(data)
    command = [sys.executable, "-m", WORKER, str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    outcome = json.loads(done.stdout)
    assert outcome["refused"] + outcome["ran"] == 400
    assert outcome["refused"] > 100
