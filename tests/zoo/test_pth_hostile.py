"""Files made to harm: a state dict is read without running, importing or allocating anything."""

import builtins
import io
import pickle
import struct
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from maccel_aio.zoo import _pth

HEADERS = [pickle.dumps(value, 2) for value in (_pth._LEGACY_MAGIC, 1001, {"little_endian": True})]


def as_zip(path, index, members=None):
    """Write `index` as the pickle of a zip archive."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", index)
        for name, data in (members or {}).items():
            archive.writestr(f"archive/data/{name}", data)
    return path


def as_legacy(path, index, members=None):
    """Write `index` as the fourth pickle of the older layout."""
    parts = [*HEADERS, index, pickle.dumps(list(members or {}), 2)]
    for data in (members or {}).values():
        parts += [struct.pack("<q", len(data) // 4), data]
    path.write_bytes(b"".join(parts))
    return path


LAYOUTS = pytest.mark.parametrize("write", [as_zip, as_legacy])

CALLS = {
    "os.system": ("os", "system", b"(X\x09\x00\x00\x00touch BADtR."),
    "posix.system": ("posix", "system", b"(X\x09\x00\x00\x00touch BADtR."),
    "subprocess.Popen": ("subprocess", "Popen", b"(X\x09\x00\x00\x00touch BADtR."),
    "builtins.eval": ("builtins", "eval", b"(X\x03\x00\x00\x001/0tR."),
    "builtins.exec": ("builtins", "exec", b"(X\x03\x00\x00\x001/0tR."),
    "builtins.__import__": ("builtins", "__import__", b"(X\x04\x00\x00\x00thistR."),
    "builtins.getattr": ("builtins", "getattr", b"(K\x01X\x03\x00\x00\x00abstR."),
    "builtins.open": ("builtins", "open", b"(X\x03\x00\x00\x00BADX\x01\x00\x00\x00wtR."),
    "__builtin__.eval": ("__builtin__", "eval", b"(X\x03\x00\x00\x001/0tR."),
    "nt.system": ("nt", "system", b"(X\x03\x00\x00\x00dirtR."),
    "runpy._run_code": ("runpy", "_run_code", b"(X\x03\x00\x00\x001/0}tR."),
    "importlib.import_module": ("importlib", "import_module", b"(X\x04\x00\x00\x00thistR."),
    "numpy.load": ("numpy", "load", b"(X\x03\x00\x00\x00BADtR."),
    "torch.load": ("torch", "load", b"(X\x03\x00\x00\x00BADtR."),
    "collections.abc": ("collections", "namedtuple", b"(X\x01\x00\x00\x00aX\x01\x00\x00\x00btR."),
    "dotted": ("collections", "OrderedDict.fromkeys", b"(]tR."),
    "own module": ("maccel_aio.zoo._pth", "load", b"(X\x03\x00\x00\x00BADtR."),
}


@LAYOUTS
@pytest.mark.parametrize("name", CALLS)
def test_a_call_of_anything_is_refused_and_not_made(write, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module, function, rest = CALLS[name]
    path = write(tmp_path / "w.pth", b"\x80\x02c" + f"{module}\n{function}\n".encode() + rest)
    loaded = set(sys.modules)
    with pytest.raises(_pth.PthError, match=rf"refers to {module}.*: refused"):
        _pth.load(path)
    assert not (tmp_path / "BAD").exists()
    assert not {"this", "runpy"} & (set(sys.modules) - loaded)


@LAYOUTS
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_protocol_is_guarded(write, protocol, tmp_path):
    class Harm:
        def __reduce__(self):  # type: ignore[explicit-override]
            return builtins.eval, ("1/0",)

    with pytest.raises(_pth.PthError, match=r"eval: refused"):
        _pth.load(write(tmp_path / "w.pth", pickle.dumps({"x": Harm()}, protocol)))


OPCODES = {
    "instance": b"(X\x03\x00\x00\x001/0ibuiltins\neval\n.",
    "object": b"(cbuiltins\neval\nX\x03\x00\x00\x001/0o.",
    "new object": b"\x80\x02cbuiltins\neval\nX\x03\x00\x00\x001/0\x85\x81.",
    "stack global": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x031/0\x85R.",
    "extension": b"\x80\x02\x82\x01.",
    "extension of 4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "text reference": b"P0\n.",
}


@LAYOUTS
@pytest.mark.parametrize("name", OPCODES)
def test_every_opcode_that_makes_objects_is_guarded(write, name, tmp_path):
    with pytest.raises(_pth.PthError):
        _pth.load(write(tmp_path / "w.pth", OPCODES[name]))


@LAYOUTS
def test_known_names_cannot_be_called_with_other_things(write, tmp_path):
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
    for arguments in (b"(tR.", b"(K\x01K\x02K\x03K\x04tR.", b"(NN))tR.", b"(]]]]tR."):
        with pytest.raises(_pth.PthError):
            _pth.load(write(tmp_path / "w.pth", b"\x80\x02" + rebuild + arguments))


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


@LAYOUTS
@pytest.mark.parametrize("attribute", ["__defaults__", "__doc__", "dtype", "__class__", "anything"])
@pytest.mark.parametrize("known", list(_pth._KNOWN), ids=".".join)
def test_what_files_share_cannot_be_changed_by_one(write, known, attribute, tmp_path):
    """BUILD sets attributes, by a dictionary or by setattr: neither may reach a shared object."""
    shared = _pth._KNOWN[known]
    before = repr(getattr(shared, attribute, None))
    load = b"\x80\x02c" + "\n".join((*known, "")).encode()
    state = b"}" + text(attribute) + text("i8") + b"s"
    for code in (load + state + b"b.", load + b"N" + state + b"\x86b."):
        with pytest.raises(_pth.PthError):
            _pth.load(write(tmp_path / "w.pth", code))
    assert _pth._KNOWN[known] is shared
    assert repr(getattr(shared, attribute, None)) == before
    assert "anything" not in dir(shared)


def storage_type(path):
    """An honest file: one tensor of four floats."""
    data = np.arange(4, dtype="<f4").tobytes()
    index = (
        b"\x80\x02}X\x01\x00\x00\x00xctorch._utils\n_rebuild_tensor_v2\n"
        b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        b"K\x04tQK\x00K\x04\x85K\x01\x85\x89}tRs."
    )
    return as_zip(path, index, {"0": data})


def test_the_honest_file_that_the_others_are_made_of_is_read(tmp_path):
    loaded = _pth.load(storage_type(tmp_path / "w.pth"))
    np.testing.assert_array_equal(loaded["x"], [0, 1, 2, 3])


def test_a_hostile_file_does_not_spoil_the_next_one(tmp_path):
    """A sequence as state went into the fields of a storage type, for all files to come."""
    code = b"\x80\x02ctorch\nFloatStorage\n(" + text("i8") + b"tb."
    with pytest.raises(_pth.PthError):
        _pth.load(as_zip(tmp_path / "w.pth", code))
    assert _pth._KNOWN["torch", "FloatStorage"].dtype == np.float32
    loaded = _pth.load(storage_type(tmp_path / "honest.pth"))
    assert loaded["x"].dtype == np.float32


def test_a_storage_that_the_archive_lacks_is_an_error(tmp_path):
    path = storage_type(tmp_path / "w.pth")
    with zipfile.ZipFile(path) as archive:
        index = archive.read("archive/data.pkl")
    with pytest.raises(_pth.PthError):
        _pth.load(as_zip(tmp_path / "w.pth", index, {}))


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "0\x00", ""])
def test_a_storage_key_is_a_name_in_the_archive_and_no_path(key, tmp_path):
    with zipfile.ZipFile(storage_type(tmp_path / "w.pth")) as archive:
        index = archive.read("archive/data.pkl")
    raw = key.encode()
    altered = index.replace(b"X\x01\x00\x00\x000X", b"X" + struct.pack("<I", len(raw)) + raw + b"X")
    assert altered != index
    with pytest.raises(_pth.PthError):
        _pth.load(as_zip(tmp_path / "w.pth", altered, {"0": bytes(16)}))


@pytest.mark.parametrize("count", [-1, -(1 << 63), (1 << 63) - 1, 1 << 40, 5])
def test_a_storage_that_lies_about_its_size_allocates_nothing(count, tmp_path):
    with zipfile.ZipFile(storage_type(tmp_path / "w.pth")) as archive:
        index = archive.read("archive/data.pkl")
    path = tmp_path / "w.pth"
    parts = [*HEADERS, index, pickle.dumps(["0"], 2), struct.pack("<q", count), bytes(16)]
    path.write_bytes(b"".join(parts))
    with pytest.raises(_pth.PthError):
        _pth.load(path)


@LAYOUTS
def test_a_key_list_of_another_kind_is_an_error(write, tmp_path):
    path = tmp_path / "w.pth"
    for keys in (1, None, ["absent"], [["0"]], {"0": 1}):
        path.write_bytes(b"".join([*HEADERS, pickle.dumps({}, 2), pickle.dumps(keys, 2)]))
        if keys == {}:
            continue
        with pytest.raises(_pth.PthError):
            _pth.load(path)


def test_deep_nesting_is_an_error_and_no_crash(tmp_path):
    for code in (b"(" * 200_000 + b".", b"]" * 100_000 + b"a" * 99_999 + b"."):
        with pytest.raises(_pth.PthError):
            _pth.load(as_zip(tmp_path / "w.pth", code))


def test_a_long_that_claims_to_be_huge_is_an_error(tmp_path):
    for code in (b"\x80\x02\x8b\xff\xff\xff\x7f.", b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f."):
        with pytest.raises(_pth.PthError):
            _pth.load(as_zip(tmp_path / "w.pth", code))


@settings(max_examples=300)
@given(code=st.binary(max_size=60))
def test_random_pickles_give_a_typed_error_or_tensors(code, tmp_path_factory):
    path = tmp_path_factory.mktemp("pth") / "w.pth"
    try:
        loaded = _pth.load(as_zip(path, code))
    except _pth.PthError:
        return
    assert all(isinstance(array, np.ndarray) for array in loaded.values())


@example(changes=[(226, 92)])
@settings(max_examples=300)
@given(changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4))
def test_an_altered_index_gives_a_typed_error_or_tensors(changes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pth")
    with zipfile.ZipFile(storage_type(folder / "w.pth")) as archive:
        index = bytearray(archive.read("archive/data.pkl"))
    for position, value in changes:
        index[position % len(index)] = value
    try:
        loaded = _pth.load(as_zip(folder / "w.pth", bytes(index), {"0": bytes(16)}))
    except _pth.PthError:
        return
    assert all(isinstance(array, np.ndarray) for array in loaded.values())
    assert sum(array.size for array in loaded.values()) <= 64


def test_nothing_of_pytorch_is_needed_or_imported(tmp_path):
    _pth.load(storage_type(tmp_path / "w.pth"))
    assert "torch" not in sys.modules
    assert isinstance(_pth._Unpickler(io.BytesIO(b"N."), {}), pickle.Unpickler)


def test_a_damaged_archive_is_a_typed_error_wherever_the_damage_is(tmp_path):
    plain = storage_type(tmp_path / "w.pth")
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(plain) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as z:
        for name in archive.namelist():
            z.writestr(name, archive.read(name))
    whole = packed.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        packed.write_bytes(damaged)
        try:
            loaded = _pth.load(packed)
        except _pth.PthError:
            continue
        assert set(loaded) == {"x"}
