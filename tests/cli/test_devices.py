"""``maccel-aio devices``."""

import json

from maccel_aio.cli import main


def test_the_software_npu_is_always_there(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["devices"]) == 0
    out = capsys.readouterr().out
    assert "soft:0" in out
    assert "software NPU" in out
    assert "instruction set" in out


def test_devices_by_name_as_json(capsys):
    assert main(["devices", "null", "soft:1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [device["name"] for device in found["devices"]] == ["null:0", "soft:1"]
    assert all(device["workers"] >= 1 for device in found["devices"])
    assert found["isa"] in (
        "scalar",
        "avx2",
        "avxvnni",
        "avx512vnni",
        "neon",
        "neondot",
        "neoni8mm",
    )


def test_an_unknown_device_is_one_line(capsys):
    assert main(["devices", "nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err
