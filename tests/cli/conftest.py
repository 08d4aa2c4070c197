"""Compiled models for the commands."""

from pathlib import Path

import pytest

import maccel_aio
from tests import networks


@pytest.fixture(autouse=True)
def own_calibration_cache(tmp_path_factory, monkeypatch) -> Path:
    """Keep runs away from the user's cache, and from other tests."""
    folder: Path = tmp_path_factory.mktemp("calibration")
    monkeypatch.setattr("maccel_aio.compiler.calibration_cache.default_folder", lambda: folder)
    return folder


@pytest.fixture(scope="session")
def classifier(tmp_path_factory) -> Path:
    """One image input that takes pixels too, ten scores."""
    path: Path = tmp_path_factory.mktemp("cli") / "classifier.mxq"
    maccel_aio.compile(
        networks.classifier(),
        path,
        calibration={"input": networks.samples(8, seed=99)},
        preprocess={"mean": 127, "std": 64, "channels": "RGB"},
    )
    return path


@pytest.fixture(scope="session")
def mixed(tmp_path_factory) -> Path:
    """One image input that takes no pixels; an image and a vector come out."""
    return networks.compile_to(tmp_path_factory.mktemp("cli"), networks.mixed(), "mixed")
