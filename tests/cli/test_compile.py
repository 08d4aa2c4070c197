"""``maccel-aio compile``: its arguments and what it prints."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maccel_aio
from maccel_aio.cli import main
from maccel_aio.cli.compile import parse_preprocess, parse_shapes, parse_variants
from maccel_aio.errors import InvalidError


def test_shapes_are_read_by_name() -> None:
    found = parse_shapes(["input.1=1x3x480x640", "a=b=7", "ids=1x-1"])
    assert found == {"input.1": (1, 3, 480, 640), "a=b": (7,), "ids": (1, -1)}


@pytest.mark.parametrize("text", ["x", "x=", "=1x2", "x=1x0", "x=1xa", "x=1x--2"])
def test_shapes_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="--shape"):
        parse_shapes([text])


def test_a_shape_given_twice_is_refused() -> None:
    with pytest.raises(InvalidError, match="twice"):
        parse_shapes(["x=1", "x=2"])


def test_variants_are_sets_of_shapes() -> None:
    assert parse_variants([]) is None
    found = parse_variants(["x=1x3x8x8", "x=1x3x-8x8,m=4"])
    assert found == [{"x": (1, 3, 8, 8)}, {"x": (1, 3, -8, 8), "m": (4,)}]


@pytest.mark.parametrize("text", ["", "x=1,", "1x3", "x=2,x=3"])
def test_variants_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="--variant"):
        parse_variants([text])


def test_a_file_of_two_variants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, "n"]) for n in ("x", "y"))
    node = helper.make_node("Tanh", ["x"], ["y"])
    (tmp_path / "m.onnx").write_bytes(
        helper.make_model(helper.make_graph([node], "g", [x], [y])).SerializeToString()
    )
    arguments = ["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.mxq")]
    for size in (4, 9):
        np.save(tmp_path / f"{size}.npy", np.random.default_rng(size).random((5, 1, size)))
        arguments += ["--variant", f"x=1x{size}", "--calibration", str(tmp_path / f"{size}.npy")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "variant 0: layers" in out
    assert "variant 1: layers" in out
    manifest = maccel_aio.read_manifest(tmp_path / "m.mxq")
    assert [one.inputs[0].shape for one in manifest.variants] == [(1, 4), (1, 9)]


@pytest.mark.parametrize(
    ("more", "wide"),
    [([], []), (["--wide-first", "1"], [1]), (["--wide-last"], []), (["--wide-first", "2"], [1])],
)
def test_edges_may_have_16_bits(tmp_path: Path, more: list[str], wide: list[int]) -> None:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    shapes = [(4, 3, 1, 1), (2, 4, 1, 1), (64, 2, 3, 3)]
    nodes = [helper.make_node("Conv", [f"t{k}", f"w{k}"], [f"t{k + 1}"]) for k in range(3)]
    weights = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), f"w{k}")
        for k, shape in enumerate(shapes)
    ]
    ends = (("t0", [1, 3, 16, 16]), ("t3", [1, 64, 14, 14]))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in ends)
    (tmp_path / "m.onnx").write_bytes(
        helper.make_model(helper.make_graph(nodes, "g", [x], [y], weights)).SerializeToString()
    )
    np.save(tmp_path / "c.npy", rng.normal(size=(4, 1, 3, 16, 16)).astype(np.float32))
    arguments = ["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.mxq")]
    assert main([*arguments, "--calibration", str(tmp_path / "c.npy"), *more]) == 0
    layers = maccel_aio.read_manifest(tmp_path / "m.mxq").layers
    assert [k for k, layer in enumerate(layers) if layer.precision == "int16"] == wide


def test_rounding_changes_weights_and_nothing_by_chance(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = numpy_helper.from_array(rng.normal(size=(8, 32, 1, 1)).astype(np.float32), "w")
    ends = (("x", [1, 32, 6, 6]), ("y", [1, 8, 6, 6]))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in ends)
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    (tmp_path / "m.onnx").write_bytes(
        helper.make_model(helper.make_graph([node], "g", [x], [y], [weights])).SerializeToString()
    )
    samples = rng.normal(size=(4, 1, 2, 6, 6)).repeat(16, axis=2)  # channels that vary together
    np.save(tmp_path / "c.npy", samples.astype(np.float32))
    files = []
    for how in ("nearest", "compensated", "compensated"):
        arguments = ["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.mxq")]
        arguments += ["--calibration", str(tmp_path / "c.npy"), "--rounding", how]
        assert main(arguments) == 0
        files.append((tmp_path / "m.mxq").read_bytes())
    assert files[0] != files[1]
    assert files[1] == files[2]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "mean=127,std=128,channels=RGB",
            {"mean": 127.0, "std": 128.0, "channels": "RGB"},
        ),
        (
            "mean=1,2,3,std=4.5,channels=bgr",
            {"mean": [1.0, 2.0, 3.0], "std": 4.5, "channels": "bgr"},
        ),
        ("crop=1", {"crop": 1.0}),
    ],
)
def test_preprocessing_is_read(text: str, wanted: dict[str, Any]) -> None:
    assert parse_preprocess(text) == wanted


@pytest.mark.parametrize("text", ["127", "mean=a", "mean=", "mean=1,,2"])
def test_preprocessing_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="--preprocess"):
        parse_preprocess(text)
