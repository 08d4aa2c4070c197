"""Model files: what is refused, and how it is said."""

import json

import pytest

import maccel_aio
from maccel_aio._core import _file
from tests.core import mxqtools


@pytest.fixture
def sound(plus_path):
    return plus_path.read_bytes()


def refused(tmp_path, data, match):
    path = tmp_path / "bad.mxq"
    path.write_bytes(data)
    with pytest.raises(maccel_aio.ModelFormatError, match=match) as caught:
        _file.read_manifest(path)
    assert caught.value.path == str(path)
    assert caught.value.code == -3


def test_a_sound_file_is_read(plus_path):
    manifest = _file.read_manifest(plus_path)
    assert (manifest.name, manifest.profile) == ("tiny", "aries")
    assert manifest.variants[0].is_single_bundle


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "0 bytes"),
        (b"MXQ", "3 bytes"),
        (b"MXQ7" + bytes(100), "vendor"),
        (b"MXQAIO\n\n" + bytes(100), "text mode"),
        (b"\x7fELF" + bytes(100), "not a model file"),
    ],
)
def test_what_is_no_model_says_what_it_is(tmp_path, data, match):
    refused(tmp_path, data, match)


def test_truncated_and_altered_files_are_refused(tmp_path, sound):
    for size in (40, 64, 100, len(sound) // 2, len(sound) - 64):
        refused(tmp_path, sound[:size], ".")
    for place in range(200, len(sound) - 64, 97):
        altered = bytearray(sound)
        altered[place] ^= 0x55
        try:
            (tmp_path / "altered.mxq").write_bytes(altered)
            _file.read_manifest(tmp_path / "altered.mxq")
        except maccel_aio.ModelFormatError:
            continue
        assert altered[place] != sound[place]  # only padding may differ unseen
        assert sound[place] == 0


async def test_missing_files_and_directories_stay_themselves(tmp_path):
    async with maccel_aio.Accelerator("soft:0") as acc:
        with pytest.raises(FileNotFoundError):
            await acc.load(tmp_path / "missing.mxq")
        with pytest.raises(IsADirectoryError):
            await acc.load(tmp_path)


def edited(sound, edit):
    """Return the file with its manifest changed by a function."""
    program = mxqtools.Program()
    source, target = program.tensor(1, 8), program.tensor(1, 8)
    program.add_constant(source, target, 1.0)
    code, data = program.pack([source], [target])
    table = mxqtools.container([(1, b"{}"), (2, code), (3, data)])
    assert table[:8] == sound[:8]
    start = 64 + 64 * 3
    text = sound[start : sound.index(b"\0", start)]
    manifest = json.loads(text)
    manifest = edit(manifest) or manifest
    return mxqtools.container([(1, json.dumps(manifest).encode()), (2, code), (3, data)])


def variant(manifest):
    return manifest["variants"][0]


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda m: m.pop("name") and None, "KeyError"),
        (lambda m: m.update(format=2), "format 2"),
        (lambda m: m.update(variants=[]), "no variants"),
        (lambda _: [1, 2], "malformed"),
        (lambda m: variant(m).update(segments=[]), "lacks"),
        (lambda m: variant(m)["segments"][0].update(kind="gpu"), "gpu"),
        (lambda m: variant(m)["segments"][0].update(program=77), "not there"),
        (lambda m: variant(m)["segments"][0]["inputs"][0].update(name="z"), "too early"),
        (lambda m: variant(m)["segments"][0]["inputs"][0].update(perm=[0, 0]), "perm"),
        (lambda m: variant(m)["outputs"][0].update(name="z"), "no shape|no segment"),
        (lambda m: variant(m)["inputs"][0].update(shape=[1, -8]), "not fixed"),
        (lambda m: variant(m)["inputs"][0].update(shape=[2, 4]), "batch_axis"),
        (lambda m: variant(m)["inputs"][0].update(layout="NCHW"), "layout"),
        (lambda m: variant(m)["inputs"][0].update(scale="x"), "malformed"),
    ],
)
def test_manifests_that_contradict_themselves_are_refused(tmp_path, sound, edit, match):
    refused(tmp_path, edited(sound, edit), match)


async def test_a_manifest_that_contradicts_its_program_is_refused(tmp_path, sound):
    def wider(manifest):
        variant(manifest)["inputs"][0]["shape"] = [1, 9]

    path = tmp_path / "bad.mxq"
    path.write_bytes(edited(sound, wider))
    async with maccel_aio.Accelerator("soft:0") as acc:
        with pytest.raises(maccel_aio.ModelFormatError, match="cannot hold"):
            await acc.load(path)


async def test_variants_are_chosen_by_shape(tmp_path, sound):
    def twice(manifest):
        manifest["variants"] = [variant(manifest), json.loads(json.dumps(variant(manifest)))]
        for item in manifest["variants"][0]["inputs"] + manifest["variants"][0]["outputs"]:
            item["shape"] = [1, 2, 4]
        for port in ("inputs", "outputs"):
            manifest["variants"][0]["segments"][0][port][0]["perm"] = [0, 1, 2]

    import numpy as np

    path = tmp_path / "two.mxq"
    path.write_bytes(edited(sound, twice))
    async with maccel_aio.Accelerator("soft:0") as acc, acc.load(path) as model:
        for shape in [(8,), (3, 8), (2, 4), (3, 2, 4)]:
            x = np.random.default_rng(0).random(shape, np.float32)
            np.testing.assert_array_equal((await model.infer(x))[0], x + 1)
        assert "variant   1" in model.summary()
