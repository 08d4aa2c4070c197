"""The life of a classic model, what it says of itself, and what it refuses."""

import gc
import logging
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from maccel_aio._core import _device
from maccel_aio.compat import maccel, qbruntime
from maccel_aio.compat._shared.status import StatusCode

pytestmark = pytest.mark.usefixtures("no_leaks")


def code_of(error: Any, call: Any) -> StatusCode:
    with pytest.raises(error) as caught:
        call()
    assert f"{caught.value.code.name} occurred." in str(caught.value)
    assert caught.value.reason
    found: StatusCode = caught.value.code
    return found


def test_a_model_lives_from_launch_to_dispose(
    package: ModuleType, error: Any, image_path: str, pixels: Any
) -> None:
    model, acc = package.Model(image_path), package.Accelerator()
    assert not hasattr(model, "_acc")
    for call in (lambda: model.infer(pixels), model.infer_speedrun):
        assert code_of(error, call) is StatusCode.Model_NotLaunched
    model.launch(acc)
    assert model._acc is acc
    assert code_of(error, lambda: model.launch(acc)) is StatusCode.Model_AlreadyLaunched
    model.infer_speedrun()
    model.dispose()
    model.dispose()
    assert model._acc is None
    for call in (lambda: model.infer(pixels), lambda: model.infer_async(pixels)):
        assert code_of(error, call) is StatusCode.Model_NotAlive
    with pytest.raises(ValueError, match="Input shape"):
        model.infer(pixels[0])
    model.launch(acc)
    assert np.array_equal(model.infer(pixels)[0], pixels + 1)


def test_whoever_forgets_to_dispose_leaks_nothing(package: ModuleType, image_path: str) -> None:
    model = package.load(image_path)
    inner = weakref.ref(model._model)
    assert _device.still_open()
    del model
    gc.collect()
    assert inner() is None
    assert not _device.still_open()


def test_a_model_keeps_its_accelerator(package: ModuleType, image_path: str, pixels: Any) -> None:
    acc = package.Accelerator()
    model = package.Model(image_path)
    model.launch(acc)
    del acc
    gc.collect()
    assert np.array_equal(model.infer(pixels)[0], pixels + 1)


def test_a_model_describes_itself(image: Any, image_path: str, package: ModuleType) -> None:
    assert image.get_model_input_shape() == image._input_shape == [(4, 5, 3)]
    assert image.get_model_output_shape() == image._output_shape == [(4, 5, 3), (3, 4, 5)]
    assert image.get_model_path() == image_path
    assert image.get_num_model_variants() == 1
    other = package.Model(image_path)
    assert other.get_identifier() == image.get_identifier() + 1
    (info,) = image.get_input_buffer_info()
    assert info.original_shape() == info.shape() == (4, 5, 3)
    assert [one.shape_chw() for one in image.get_output_buffer_info()] == [(3, 4, 5), (5, 3, 4)]
    (scale,) = image.get_input_scale()
    assert (scale[0], scale.is_uniform) == (1.0, True)
    assert len(image.get_output_scale()) == 2


def test_a_handle_describes_its_variant(image: Any, error: Any, package: ModuleType) -> None:
    handle = image.get_model_variant_handle(0)
    assert handle.get_variant_idx() == 0
    for name in ("get_model_input_shape", "get_model_output_shape"):
        assert getattr(handle, name)() == getattr(image, name)()
    assert handle._output_shape == image._output_shape
    if package is qbruntime:
        assert handle.get_model_input_data_type() is package.DataType.Float32
        assert image.get_model_output_data_type() is package.DataType.Float32
        assert image.get_device_names() == ["aries-rb"]
    for index in (1, -1, 10**6):
        call = lambda index=index: image.get_model_variant_handle(index)  # noqa: E731
        assert code_of(error, call) is StatusCode.Model_InvalidVariantIdx
    with pytest.raises(TypeError):
        image.get_model_variant_handle("a")


def cores(model: Any) -> str:
    return " ".join(
        f"{one.cluster.name[-1]}.{one.core.name.removesuffix('lobalCore')[-1]}"
        for one in model.get_target_cores()
    )


LOCAL = "0.0 0.1 0.2 0.3 1.0 1.1 1.2 1.3"
SETTERS: list[tuple[str, tuple[Any, ...], str, str]] = [
    ("set_single_core_mode", (2,), "Single", LOCAL),
    ("set_single_core_mode", (None, [("Cluster1", "Core2")]), "Single", "1.2"),
    ("set_multi_core_mode", (["Cluster1"],), "Multi", "1.0 1.1 1.2 1.3 1.G"),
]


@pytest.mark.parametrize(("setter", "args", "mode", "places"), SETTERS)
def test_a_model_runs_on_the_cores_of_its_configuration(
    package: ModuleType, image_path: str, pixels: Any, setter: str, args: Any, mode: str,
    places: str,
) -> None:  # fmt: skip
    def build(value: Any) -> Any:
        if isinstance(value, list):
            return [build(one) for one in value]
        if isinstance(value, tuple):
            return package.CoreId(package.Cluster[value[0]], package.Core[value[1]])
        return package.Cluster[value] if isinstance(value, str) else value

    config = package.ModelConfig()
    assert getattr(config, setter)(*map(build, args))
    model = package.load(image_path, config)
    config.set_global8_core_mode()
    assert model.get_core_mode() is package.CoreMode[mode]
    assert cores(model) == places
    assert model.target_cores == model.get_target_cores()
    for cluster in package.Cluster:
        for core in package.Core:
            one = package.CoreId(cluster, core)
            assert model.is_target(one) is (one in model.get_target_cores())
    assert np.array_equal(model.infer(pixels)[0], pixels + 1)


def test_a_mode_that_the_model_lacks_is_refused(
    package: ModuleType, error: Any, image_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = package.ModelConfig()
    config.set_global8_core_mode()
    wrong = StatusCode.Model_MXQAndModelConfigNotMatch
    assert code_of(error, lambda: package.Model(image_path, config)) is wrong
    assert "compiled for single, multi" in caplog.text
    config = package.ModelConfig()
    config.force_single_npu_bundle(1)
    assert code_of(error, lambda: package.Model(image_path, config)) is wrong


@pytest.mark.parametrize("mode", ["global", "global4", "global8"])
def test_every_mode_of_a_compiled_model_runs(
    package: ModuleType, tmp_path: Path, mode: str
) -> None:
    import onnx
    from onnx import TensorProto, helper

    import maccel_aio

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g",
        [value("x", TensorProto.FLOAT, [1, 8])], [value("y", TensorProto.FLOAT, [1, 8])],
    )  # fmt: skip
    source, target = tmp_path / "relu.onnx", tmp_path / "relu.mxq"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), source)
    x = np.linspace(-1, 1, 8, dtype=np.float32)
    maccel_aio.compile(source, target, calibration={"x": x[np.newaxis]})
    config = package.ModelConfig()
    both = [package.Cluster.Cluster0, package.Cluster.Cluster1]
    assert getattr(config, f"set_{mode}_core_mode")(*([] if mode == "global8" else [both]))
    model = package.load(str(target), config)
    assert model.get_core_mode() is package.CoreMode[mode.capitalize()]
    assert cores(model).count("G") == 2
    assert np.abs(model.infer(x.reshape(1, 1, 8))[0].ravel() - np.maximum(x, 0)).max() < 0.01


def test_no_core_is_refused_before_the_file_is_opened() -> None:
    config = maccel.ModelConfig()
    config.exclude_all_cores()
    call = lambda: maccel.Model("nope.mxq", config)  # noqa: E731
    assert code_of(maccel.MAccelError, call) is StatusCode.Model_NoTargetCores


def test_deprecated_policies_are_those_of_the_configuration(image_path: str) -> None:
    config = maccel.ModelConfig()
    config.schedule_policy = maccel.SchedulePolicy.LIFO
    model = maccel.Model(image_path, config)
    config.schedule_policy = maccel.SchedulePolicy.FIFO
    assert model.get_schedule_policy() is maccel.SchedulePolicy.LIFO
    assert model.get_latency_set_policy() is maccel.LatencySetPolicy.Auto
    assert model.get_maintenance_policy() is maccel.MaintenancePolicy.Maintain
    for call in (model.get_latency_consumed, model.get_latency_finished):
        assert code_of(maccel.MAccelError, call) is StatusCode.NotImplemented


@pytest.mark.parametrize("content", [None, b"", b"\0" * 64, b"MXQ0 and more", b"text"])
def test_a_file_that_is_no_model_is_refused_with_a_reason(
    package: ModuleType, error: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    content: bytes | None,
) -> None:  # fmt: skip
    path = tmp_path / "x.mxq"
    if content is not None:
        path.write_bytes(content)
    with caplog.at_level(logging.ERROR), pytest.raises(error) as caught:
        package.Model(str(path))
    assert caught.value.code is StatusCode.Model_FailedToLoadMXQ
    assert caught.value.path == str(path)
    assert caplog.records[0].getMessage() == f"Unable to load; {caught.value.reason}"
    assert caplog.records[-1].getMessage() == "Failed to load model."


def test_the_file_must_be_there_at_launch(package: ModuleType, error: Any, image_path: str) -> None:
    model, acc = package.Model(image_path), package.Accelerator()
    Path(image_path).unlink()
    assert code_of(error, lambda: model.launch(acc)) is StatusCode.Model_FailedToLoadMXQ


def test_paths_and_arguments_are_checked(package: ModuleType, image_path: str) -> None:
    for path in (Path(image_path), image_path.encode()):
        assert package.Model(path).get_model_path() == image_path
    for wrong in (None, 5, 1.5):
        with pytest.raises(TypeError):
            package.Model(wrong)
    with pytest.raises(AttributeError, match="'int' object has no attribute '_model_config'"):
        package.Model(image_path, 5)
    with pytest.raises(AttributeError, match="_accelerator"):
        package.Model(image_path).launch(5)


def test_loading_is_traced(package: ModuleType, image_path: str, tmp_path: Path) -> None:
    assert package.start_tracing_events(str(tmp_path / "t.json"))
    package.load(image_path).dispose()
    package.stop_tracing_events()
    text = (tmp_path / "t.json").read_text()
    for name in ("create model", "load mxq", "launch model"):
        assert text.count(f'"{name}"') == 2
