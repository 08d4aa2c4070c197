"""Preprocessing descriptions: parsing, and what they refuse."""

from typing import Any

import numpy as np
import pytest

from maccel_aio.compiler.preprocess import Preprocess


def test_scalars_count_for_every_channel() -> None:
    how = Preprocess.of({"mean": 127, "std": 128})
    assert how.mean == (127.0, 127.0, 127.0)
    assert how.std == (128.0, 128.0, 128.0)
    assert how.uniform


def test_gray_has_one_channel() -> None:
    how = Preprocess.of({"mean": 0, "std": 255, "channels": "gray"})
    assert how.mean == (0.0,)
    assert how.channels == "GRAY"


def test_apply_subtracts_and_divides_per_channel() -> None:
    how = Preprocess.of({"mean": [1, 2, 3], "std": [1, 2, 4]})
    pixels = np.full((1, 1, 3), 11, np.uint8)
    np.testing.assert_allclose(how.apply(pixels)[0, 0], [10, 4.5, 2])


def test_json_has_the_manifest_keys() -> None:
    assert set(Preprocess().to_json()) == {"mean", "std", "channels"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"means": 1}, "means"),
        ({"channels": "HSV"}, "HSV"),
        ({"mean": [1, 2]}, "2 values"),
        ({"std": 0}, "positive"),
        ({"std": float("nan")}, "finite"),
        ({"crop": 0}, "crop"),
    ],
)
def test_wrong_descriptions_are_refused(value: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Preprocess.of(value)
