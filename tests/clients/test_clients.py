"""Public programs written for the vendor's packages run as they are, on our own models."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import maccel_aio.sync
from tests import kvmodel
from tests.clients import models
from tests.clients.programs import run, take

pytestmark = pytest.mark.timeout(600)


def picture(path: Path) -> Path:
    """Write a picture that no codec changes."""
    cv2 = pytest.importorskip("cv2")
    pixels = np.random.default_rng(9).integers(0, 255, (360, 480, 3), np.uint8)
    cv2.imwrite(str(path), cv2.GaussianBlur(pixels, (9, 9), 3))
    return path


def test_a_demo_that_classifies(tmp_path: Path) -> None:
    folder = take(
        "mobilint/regulus-npu-demo-qbruntime", tmp_path, "image-classification-resnet50/resnet50.py"
    ) / "image-classification-resnet50"  # fmt: skip
    picture(tmp_path / "picture.png").rename(folder / "ILSVRC2012_val_00000001.JPEG")
    model = models.classifier(folder / "resnet50.mxq")
    printed = run("resnet50.py", cwd=folder)
    sys.path.insert(0, str(folder))
    try:
        with maccel_aio.sync.load(model) as twin:
            from maccel_aio.compat import install, uninstall

            install()
            import resnet50  # type: ignore[import-not-found]  # the client's own preprocessing

            x = resnet50.preprocess_resnet50(str(folder / "ILSVRC2012_val_00000001.JPEG"))
            wanted = int(twin.infer(x)[0].argmax())
            uninstall()
    finally:
        sys.path.remove(str(folder))
    assert f"predict : {wanted}\n" in printed


def test_a_script_that_tries_core_modes(tmp_path: Path) -> None:
    folder = take("saikhu/yolo_mobilint_runtime", tmp_path, "simple_npu_test.py")
    (folder / "models").mkdir()
    models.heads(folder / "models" / "yolov11_NIPA_Data_2025_v8.mxq", 1280, 14, pixels=False)
    printed = run("simple_npu_test.py", cwd=folder)
    assert "FAILED" not in printed
    assert printed.count("SUCCESS! Outputs: 6") == 2
    assert "Shape: (160, 160, 64)" in printed
    assert "Shape: (40, 40, 14)" in printed


def test_a_detector_with_a_pool_of_threads_and_two_devices(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    folder = take("jungseoik/AX_NPU", tmp_path, "yolo_npu", "tutorial/yolo_npu")
    model = models.detector(folder / "detector.mxq")
    image = picture(folder / "picture.png")
    printed = run(
        "tutorial/yolo_npu/demo_yolo11_npu.py", "--mxq", str(model), "--image", str(image),
        "--conf", "0.99", cwd=folder,
    )  # fmt: skip
    count = re.search(r"검출 (\d+)개", printed)
    assert count is not None
    (folder / "batch.py").write_text(
        "import cv2, sys\n"
        "from yolo_npu import YOLONPU\n"
        "detector = YOLONPU(sys.argv[1], device_ids=[0, 1], num_threads=4, conf_thres=0.99)\n"
        "image = cv2.imread(sys.argv[2])\n"
        "images = [image if i % 3 else image[::-1] for i in range(24)]\n"
        "alone = [detector(one) for one in images[:2]]\n"
        "found = detector.detect_batch(images)\n"
        "assert all(f == alone[i % 3 > 0] for i, f in enumerate(found)), 'mixed up'\n"
        "print(len(detector), [len(one) for one in found[:2]])\n"
    )
    printed = run("batch.py", str(model), str(image), cwd=folder)
    assert printed == f"2 {[int(n) for n in re.findall(r'[0-9]+', printed)[1:]]}\n"
    assert int(count[1]) == int(re.findall(r"\d+", printed)[2])


def test_the_futures_of_the_manual(tmp_path: Path) -> None:
    folder = take("jungseoik/AX_NPU", tmp_path, "docs/advanced_usage.md")
    models.classifier(folder / "model.mxq")
    page = (folder / "docs" / "advanced_usage.md").read_text(encoding="utf-8")
    block = next(
        text for text in re.findall(r"```python\n(.*?)```", page, re.S) if "infer_async" in text
    )
    checks = (
        "assert len(results) == NUM_INFERENCE and not future_results\n"
        "assert all(r[0].shape == (1, 1, 1000) for r in results), results[0][0].shape\n"
        "assert len({r[0].tobytes() for r in results}) == NUM_INFERENCE\n"
        "print(len(results))\n"
    )
    prelude = "import numpy as np\nMXQ_PATH, NUM_INFERENCE = 'model.mxq', 40\n"
    (folder / "manual.py").write_text(prelude + block + checks, encoding="utf-8")
    assert run("manual.py", cwd=folder) == "40\n"


def test_a_tutorial_that_classifies_pixels(tmp_path: Path, zoo_model) -> None:
    pytest.importorskip("torchvision")
    folder = take(
        "mobilint/mblt-sdk-tutorial", tmp_path, "runtime/python/image_classification",
        "runtime/python/rc",
    ) / "runtime/python/image_classification"  # fmt: skip
    model = zoo_model("efficientnet_lite0")
    printed = run("inference_mxq.py", "--mxq-path", str(model), cwd=folder)
    assert "Image shape: (224, 224, 3)" in printed
    lines = printed.splitlines()
    best = lines[lines.index(next(line for line in lines if "Inference results" in line)) + 1]
    assert "volcano" in best


def test_a_tutorial_that_detects(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = take(
        "mobilint/mblt-sdk-tutorial", tmp_path, "runtime/python/object_detection",
        "runtime/python/rc",
    ) / "runtime/python/object_detection"  # fmt: skip
    model = models.heads(folder / "yolo.mxq")
    run("inference_mxq.py", "--model-path", str(model), "--conf-thres", "0.9", cwd=folder)
    assert (folder / "tmp" / "cr_demo.jpg").stat().st_size > 1000


def test_a_tutorial_of_a_language_model(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    folder = take("mobilint/mblt-sdk-tutorial", tmp_path, "runtime/python/llm/wrapper")
    folder /= "runtime/python/llm"
    weights = kvmodel.Weights()
    kvmodel.build(folder / "language.mxq", tokens=4, weights=weights)
    table = np.random.default_rng(1).normal(0, 1, (8, kvmodel.HIDDEN)).astype(np.float32)
    torch.save(torch.from_numpy(table), folder / "table.pt")
    tokens = [1, 5, 2, 2, 7, 0, 3]
    (folder / "generate.py").write_text(
        "import numpy as np, torch\n"
        "from transformers import LlamaConfig\n"
        "from wrapper.llama_model import LlamaMXQ\n"
        "config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8,\n"
        "    num_hidden_layers=1, num_attention_heads=1)\n"
        "model = LlamaMXQ(config, 'language.mxq', 'table.pt', max_sub_seq=3)\n"
        f"tokens = {tokens}\n"
        "made = [model(torch.tensor([tokens[:5]])).logits[0, -1]]\n"
        "made += [model(torch.tensor([[token]])).logits[0, -1] for token in tokens[5:]]\n"
        "assert model.get_cache_position() == 7\n"
        "model.reset_cache()\n"
        "np.save('made.npy', torch.stack(made + [model(torch.tensor([[1]])).logits[0, -1]]))\n"
    )
    run("generate.py", cwd=folder)
    wanted = weights.expected(table[tokens])[[4, 5, 6, 0]]
    np.testing.assert_allclose(np.load(folder / "made.npy"), wanted, rtol=1e-3, atol=1e-5)
