"""From names to paths."""

import hashlib

import onnx
import pytest

from maccel_aio import zoo


def test_an_unknown_name_is_an_error_that_lists_what_there_is():
    with pytest.raises(zoo.ZooError, match=r"no 'resnet'; it has efficientnet_lite0, centerface"):
        zoo.get("resnet")


@pytest.mark.models
def test_a_single_file_is_a_path_to_it():
    path = zoo.get("centerface")
    assert path.name == "centerface.onnx"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == zoo.ENTRIES["centerface"].files[0].sha256


@pytest.mark.models
def test_several_files_are_a_folder():
    names = sorted(path.name for path in zoo.get("photos").iterdir())
    assert len(names) == 20
    assert names[0] == "imagenet_00_243.jpg"


@pytest.mark.models
def test_a_model_that_is_built_is_built_once():
    path = zoo.get("efficientnet_lite0")
    before = path.stat().st_mtime_ns
    assert zoo.get("efficientnet_lite0") == path
    assert path.stat().st_mtime_ns == before
    onnx.checker.check_model(onnx.load(path))


@pytest.mark.models
def test_labels_are_those_of_imagenet_in_order():
    labels = zoo.labels()
    assert len(labels) == 1000
    assert [labels[k].lower() for k in (0, 251, 574, 999)] == [
        *("tench", "dalmatian", "golf ball", "toilet paper")
    ]
