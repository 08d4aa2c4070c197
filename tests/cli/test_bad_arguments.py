"""Every command with arguments that cannot work: status, one line, no traceback, no leftovers."""

import json
import os
import struct
import subprocess
import sys
from zlib import compress, crc32

import numpy as np
import onnx
import pytest

from maccel_aio.cli import main
from tests import networks


def png(width, height):
    """A picture whose header promises that many pixels, and that has none."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", compress(b"")) + chunk(b"IEND", b"")


@pytest.fixture(scope="session")
def bench_room(tmp_path_factory, classifier, mixed):
    """A folder with good and bad files of every kind; the tests leave it as it is."""
    room = tmp_path_factory.mktemp("room")
    (room / "good.mxq").write_bytes(classifier.read_bytes())
    (room / "mixed.mxq").write_bytes(mixed.read_bytes())
    (room / "cut.mxq").write_bytes(classifier.read_bytes()[:-100])
    (room / "empty.mxq").write_bytes(b"")
    onnx.save(networks.classifier(), room / "good.onnx")
    (room / "garbage.onnx").write_bytes(b"this is no model\n" * 9)
    np.savez(room / "good.npz", input=networks.samples(4))
    np.savez(room / "other.npz", something=networks.samples(4))
    (room / "garbage.npz").write_bytes(b"PK\x03\x04 no archive")
    np.save(room / "good.npy", networks.samples(1)[0])
    np.save(room / "text.npy", np.array(["a", "b"]))
    np.save(room / "complex.npy", np.zeros((3, 32, 32), np.complex64))
    np.save(room / "small.npy", np.zeros((3, 31, 32), np.float32))
    np.save(room / "none.npy", np.zeros((0, 3, 32, 32), np.float32))
    (room / "garbage.npy").write_bytes(b"hi\n")
    (room / "garbage.png").write_bytes(b"hi\n")
    (room / "bomb.png").write_bytes(png(60_000, 60_000))
    (room / "cut.png").write_bytes(png(6, 6))
    (room / "bombs").mkdir()
    (room / "bombs" / "big.png").write_bytes(png(60_000, 60_000))
    (room / "object.json").write_text('{"a": 1}')
    (room / "broken.json").write_text("[")
    (room / "latin.txt").write_bytes(b"caf\xe9\n")
    (room / "empty").mkdir()
    (room / "folder").mkdir()
    (room / "folder" / "notes.txt").write_text("no picture")
    return room


def failed(arguments, capsys):
    """Run the program, expect status 1 and one line of error; return that line."""
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert errors[0].startswith("maccel-aio: error: ")
    assert errors[0].removeprefix("maccel-aio: error: ").strip()
    assert err.rstrip("\n").splitlines()[-1] == errors[0]
    if "--json" in arguments:
        assert out == ""
    return errors[0]


WRONG_FILES = [
    # summary
    (["summary", "absent.mxq"], ["absent.mxq", "No such file"]),
    (["summary", "cut.mxq"], ["cut.mxq"]),
    (["summary", "empty.mxq"], ["empty.mxq", "0 bytes"]),
    (["summary", "good.onnx"], ["good.onnx", "not a model"]),
    (["summary", "folder"], ["folder", "directory"]),
    # compile
    (["compile", "absent.onnx", "-o", "x.mxq"], ["absent.onnx", "No such file"]),
    (["compile", "garbage.onnx", "-o", "x.mxq"], ["garbage.onnx", "not a readable ONNX"]),
    (["compile", "good.mxq", "-o", "x.mxq"], ["good.mxq", "not a readable ONNX"]),
    (["compile", "folder", "-o", "x.mxq"], ["folder"]),
    (["compile", "good.onnx", "-o", "x.mxq"], ["calibration"]),
    (["compile", "good.onnx", "-o", "x.mxq", "--calibration", "absent"], ["no", "absent"]),
    (["compile", "good.onnx", "-o", "x.mxq", "--calibration", "empty"], ["preprocess"]),
    (["compile", "good.onnx", "-o", "x.mxq", "--calibration", "other.npz"], ["input"]),
    (["compile", "good.onnx", "-o", "x.mxq", "--calibration", "garbage.npz"], ["garbage.npz"]),
    (["compile", "good.onnx", "-o", "x.mxq", "--calibration", "garbage.npy"], ["garbage.npy"]),
    (["compile", "good.onnx", "-o", "x.mxq", "--calibration", "small.npy"], ["input", "shape"]),
    (["compile", "good.onnx", "-o", "x.mxq", "--calibration", "good.onnx"], ["good.onnx"]),
    (["compile", "good.onnx", "-o", "no/x.mxq", "--calibration", "good.npz"], ["no/x.mxq"]),
    (["compile", "good.onnx", "-o", "folder", "--calibration", "good.npz"], ["folder"]),
    # run
    (["run", "absent.mxq", "-i", "good.npy"], ["absent.mxq", "No such file"]),
    (["run", "cut.mxq", "-i", "good.npy"], ["cut.mxq"]),
    (["run", "good.mxq", "-i", "absent.npy"], ["absent.npy", "No such file"]),
    (["run", "good.mxq", "-i", "absent.png"], ["absent.png", "No such file"]),
    (["run", "good.mxq", "-i", "garbage.npy"], ["garbage.npy", "not a .npy file"]),
    (["run", "good.mxq", "-i", "garbage.png"], ["garbage.png"]),
    (["run", "good.mxq", "-i", "bomb.png"], ["bomb.png cannot be read", "3600000000 pixels"]),
    (["run", "good.mxq", "-i", "cut.png"], ["cut.png cannot be read", "truncated"]),
    (["run", "good.mxq", "-i", "folder"], ["folder", "directory"]),
    (["run", "good.mxq", "-i", "text.npy"], ["dtype", "<U1"]),
    (["run", "good.mxq", "-i", "complex.npy"], ["complex64"]),
    (["run", "good.mxq", "-i", "small.npy"], ["(3, 31, 32)", "expected"]),
    (["run", "good.mxq", "-i", "none.npy"], ["(0, 3, 32, 32)"]),
    (["run", "good.mxq", "-i", "good.npy", "good.npz"], ["good.npz"]),
    (["run", "mixed.mxq", "-i", "garbage.png"], ["does not take pictures", "input"]),
    (["run", "good.mxq", "-i", "good.npy", "--labels", "object.json"], ["object.json", "list"]),
    (["run", "good.mxq", "-i", "good.npy", "--labels", "broken.json"], ["broken.json"]),
    (["run", "good.mxq", "-i", "good.npy", "--labels", "latin.txt"], ["latin.txt"]),
    (["run", "good.mxq", "-i", "good.npy", "--labels", "absent.txt"], ["absent.txt"]),
    (["run", "good.mxq", "-i", "good.npy", "--output-dir", "good.npz"], ["good.npz"]),
    (["run", "good.mxq", "-i", "good.npy", "--device", "nowhere"], ["nowhere", "soft"]),
    # bench
    (["bench", "absent.mxq"], ["absent.mxq", "No such file"]),
    (["bench", "cut.mxq"], ["cut.mxq"]),
    (["bench", "good.mxq", "--device", "soft:x"], ['"x"', "device index"]),
    (["bench", "good.mxq", "--seconds", "0.01", "--peer", "absent.onnx"], ["absent.onnx"]),
    (["bench", "good.mxq", "--seconds", "0.01", "--peer", "garbage.onnx"], ["garbage.onnx"]),
    # devices
    (["devices", "nowhere"], ["nowhere", "soft"]),
    (["devices", "soft:0", ""], ["no device"]),
    (["devices", "soft:-1"], ["-1"]),
    (["devices", "soft:10000"], ["10000"]),
    (["devices", "fault:soft:0?nonsense=1"], ["nonsense", "fail_every"]),
    (["devices", "fault:soft:0?fail_every=x"], ["fail_every"]),
    (["devices", "fault:"], ["fault"]),
    # zoo
    (["zoo", "get", "cats"], ["no 'cats'", "photos"]),
    (["zoo", "get", "photos", ""], ["no ''"]),
    (["zoo", "compile", "photos", "-o", "x.mxq"], ["no model 'photos'", "centerface"]),
    (["zoo", "compile", "centerface", "-o", "x.mxq", "--shape", "33x64"], ["multiples of 32"]),
    # demo
    (["demo", "--output", "good.npz"], ["good.npz"]),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG_FILES, ids=lambda part: " ".join(part))
@pytest.mark.parametrize("json_too", [False, True], ids=["text", "json"])
def test_an_error_is_one_line_that_names_the_cause(
    arguments, words, json_too, bench_room, monkeypatch, capsys
):
    monkeypatch.chdir(bench_room)
    before = sorted(path.name for path in bench_room.rglob("*"))
    line = failed([*arguments, "--json"] if json_too else arguments, capsys)
    assert all(word in line for word in words), line
    assert sorted(path.name for path in bench_room.rglob("*")) == before


WRONG_USAGE = [
    [],
    ["--nonsense"],
    ["fly"],
    ["compile"],
    ["compile", "m.onnx"],
    ["summary"],
    ["summary", "a", "b"],
    ["run", "m.mxq"],
    ["run", "m.mxq", "-i"],
    ["run", "m.mxq", "-i", "x", "--fit", "squeeze"],
    ["bench"],
    ["bench", "m.mxq", "--depth", "0"],
    ["bench", "m.mxq", "--depth", "x"],
    ["bench", "m.mxq", "--rounds", "0"],
    ["bench", "m.mxq", "--rounds", "-1"],
    ["bench", "m.mxq", "--seconds", "0"],
    ["bench", "m.mxq", "--seconds", "-1"],
    ["bench", "m.mxq", "--seconds", "nan"],
    ["bench", "m.mxq", "--seconds", "inf"],
    ["bench", "m.mxq", "--peer-threads", "0"],
    ["devices", "--nonsense"],
    ["zoo"],
    ["zoo", "steal"],
    ["zoo", "get"],
    ["zoo", "compile", "centerface"],
    ["zoo", "compile", "centerface", "-o", "x", "--shape", "64"],
    ["demo", "surplus"],
]


@pytest.mark.parametrize("arguments", WRONG_USAGE, ids=" ".join)
def test_wrong_usage_is_status_two_and_says_what_is_right(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: maccel-aio")
    assert "error: " in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("input=1x3x0x32", "--shape"),
        ("input=axb", "--shape"),
        ("=1x3x32x32", "--shape"),
        ("other=1x3x32x32", "'other'"),
        ("input=1x3x32", "input"),
        ("input=1x4x32x32", "input"),
    ],
)
def test_a_shape_that_cannot_be_is_one_line(option, message, bench_room, monkeypatch, capsys):
    monkeypatch.chdir(bench_room)
    arguments = ["compile", "good.onnx", "-o", "x.mxq", "--calibration", "good.npz"]
    assert message in failed([*arguments, "--shape", option], capsys)
    assert not (bench_room / "x.mxq").exists()


@pytest.mark.parametrize(
    "option",
    ["mean", "mean=x", "std=0", "mean=1,2", "mean=1,2,3,4", "channels=CMYK", "gamma=2", "std=-1"],
)
def test_preprocessing_that_cannot_be_is_one_line(option, bench_room, monkeypatch, capsys):
    monkeypatch.chdir(bench_room)
    arguments = ["compile", "good.onnx", "-o", "x.mxq", "--calibration", "good.npz"]
    failed([*arguments, "--preprocess", option], capsys)
    assert not (bench_room / "x.mxq").exists()


def test_a_picture_that_cannot_calibrate_is_named(bench_room, monkeypatch, capsys):
    monkeypatch.chdir(bench_room)
    arguments = ["compile", "good.onnx", "-o", "x.mxq", "--calibration", "bombs"]
    line = failed([*arguments, "--preprocess", "mean=0,std=1,channels=RGB"], capsys)
    assert "big.png cannot be read" in line


@pytest.mark.parametrize("folder", ["empty", "folder"])
def test_a_folder_without_pictures_is_named(folder, bench_room, monkeypatch, capsys):
    monkeypatch.chdir(bench_room)
    arguments = ["compile", "good.onnx", "-o", "x.mxq", "--preprocess", "mean=0,std=1,channels=RGB"]
    assert f"{folder} has no pictures" in failed([*arguments, "--calibration", folder], capsys)


def test_a_peer_with_other_inputs_is_one_line(bench_room, tmp_path, capsys):
    b = networks.Builder(0)
    b.ends = (b.node("Add", "a", "b"),)
    onnx.save(b.model({"a": (1, 4), "b": (1, 4)}, {"y": (1, 4)}), tmp_path / "two.onnx")
    arguments = ["bench", str(bench_room / "good.mxq"), "--seconds", "0.01"]
    line = failed([*arguments, "--peer", str(tmp_path / "two.onnx")], capsys)
    assert "two.onnx cannot be measured beside the model" in line


def test_a_failed_compile_leaves_the_old_file_as_it_was(bench_room, tmp_path, capsys):
    target = tmp_path / "m.mxq"
    target.write_bytes(b"what was there")
    room = str(bench_room)
    failed(["compile", f"{room}/good.onnx", "-o", str(target)], capsys)
    failed(["compile", f"{room}/garbage.onnx", "-o", str(target)], capsys)
    assert target.read_bytes() == b"what was there"
    assert os.listdir(tmp_path) == ["m.mxq"]


def test_a_cache_that_is_no_folder_is_one_line(bench_room, monkeypatch, capsys):
    monkeypatch.setenv("MACCEL_HOME", str(bench_room / "good.npz"))
    assert "good.npz" in failed(["zoo", "get", "photos"], capsys)


def test_the_error_of_a_real_process_is_one_line_without_colours_or_warnings(bench_room):
    command = [sys.executable, "-W", "error", "-m", "maccel_aio.cli"]
    done = subprocess.run(
        [*command, "run", "good.mxq", "-i", "small.npy", "--json"],
        cwd=bench_room, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr


def test_a_label_beyond_the_list_is_a_question_mark(bench_room, tmp_path, capsys):
    (tmp_path / "labels.json").write_text(json.dumps(["only one"]))
    arguments = ["run", str(bench_room / "good.mxq"), "-i", str(bench_room / "good.npy")]
    assert main([*arguments, "--labels", str(tmp_path / "labels.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("? (" in line for line in lines) in (4, 5)
