"""The accuracy that ``maccel-aio compile`` is asked for, and its limits, as texts."""

import math
from pathlib import Path

import pytest

from maccel_aio.cli._compile_target import load_metric, parse_target
from maccel_aio.errors import InvalidError


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (("30dB", None, None), (30.0, 1.0)),
        (("22.5", None, "25%"), (22.5, 0.25)),
        (("0.98", "math:dist", "0.1"), (0.98, 0.1)),
    ],
)
def test_a_target_is_read(
    texts: tuple[str, str | None, str | None], wanted: tuple[float, float]
) -> None:
    found = parse_target(*texts)
    assert found is not None
    assert (found.least, found.most_wide) == pytest.approx(wanted)
    assert (found.metric is None) == (texts[1] is None)


@pytest.mark.parametrize(
    "texts",
    [
        ("thirty", None, "100%"),
        ("30dB", None, "much"),
        ("30dB", "math", "100%"),
        ("30dB", "math:nothing", "100%"),
        ("30dB", "math:pi", "100%"),
        ("30dB", "no_such_module:fn", "100%"),
        (None, "math:dist", None),
        (None, None, "25%"),
        (None, None, "100%"),
    ],
)
def test_a_target_of_another_form_is_refused(
    texts: tuple[str | None, str | None, str | None],
) -> None:
    with pytest.raises(InvalidError, match="--"):
        parse_target(*texts)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("1.1x", (1.1, math.inf)), ("2", (2.0, math.inf)), (" 2.5ms", (math.inf, 2.5e-3))],
)
def test_a_latency_budget_is_read(text: str, wanted: tuple[float, float]) -> None:
    found = parse_target("30dB", None, None, text)
    assert found is not None
    assert (found.most_slower, found.most_seconds) == pytest.approx(wanted)


@pytest.mark.parametrize(("target", "text"), [("30dB", "fast"), ("30dB", "ms"), (None, "1.1x")])
def test_a_latency_budget_of_another_form_is_refused(target: str | None, text: str) -> None:
    with pytest.raises(InvalidError, match=r"--latency-budget .*(1\.1x|2\.5ms|30dB)"):
        parse_target(target, None, None, text)


def test_without_a_target_nothing_is_searched() -> None:
    assert parse_target(None, None, None) is None


def test_a_metric_is_found_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "judge_of_test.py").write_text("def score(exact, found):\n    return 0.5\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_metric("judge_of_test:score")([], []) == 0.5
