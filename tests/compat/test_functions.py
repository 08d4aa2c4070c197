"""The functions of the packages: tracing, summaries, and which devices there are."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from maccel_aio.compat import maccel, qbruntime
from maccel_aio.compat._shared import tracing

BOTH = pytest.mark.parametrize("package", [maccel, qbruntime])


@BOTH
def test_a_trace_is_an_array_of_what_happened(package: Any, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    assert package.start_tracing_events(str(path))
    assert path.read_bytes() == b""
    with pytest.raises(KeyError), tracing.span("create model"):
        raise KeyError
    package.stop_tracing_events()
    events = json.loads(path.read_text())
    assert [(event["name"], event["ph"]) for event in events] == [
        ("create model", "B"), ("create model", "E"),
    ]  # fmt: skip
    package.stop_tracing_events()


@BOTH
def test_an_empty_trace_is_an_empty_array(package: Any, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text("before")
    assert package.start_tracing_events(str(path))
    package.stop_tracing_events()
    assert path.read_text() == "[\n\n]\n"


@BOTH
def test_what_cannot_be_traced_is_told(package: Any, tmp_path: Path) -> None:
    for path in ("/no/dir/x", "", str(tmp_path), None):
        assert not package.start_tracing_events(path)
    assert package.start_tracing_events(str(tmp_path / "a"))
    assert not package.start_tracing_events(str(tmp_path / "b"))
    package.stop_tracing_events()
    assert not (tmp_path / "b").exists()


@BOTH
@pytest.mark.parametrize("content", [None, b"", b"\0" * 64, b"MXQ0 and more", b"text"])
def test_an_unreadable_file_has_no_summary_and_a_reason(
    package: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    path = tmp_path / "x.mxq"
    if content is not None:
        path.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        assert package.get_model_summary(str(path)) == ""
    assert caplog.records[0].getMessage().startswith("Unable to load; ")
    assert caplog.records[-1].getMessage() == f"Failed to load mxq file: {path}"
    with pytest.raises(TypeError):
        package.get_model_summary(None)


def test_the_software_npu_answers_to_aries(caplog: pytest.LogCaptureFixture) -> None:
    assert qbruntime.get_available_devices() == ["aries-rb"]
    for name in ("auto", "ARIES", "aries-rb"):
        assert qbruntime.get_available_device_numbers(name) == [0]
    assert qbruntime.get_available_device_numbers("regulus") == []
    assert not caplog.records
    assert qbruntime.get_available_device_numbers("foo") == []
    assert 'Unknown or unsupported device "foo".' in caplog.text
