"""Manifests: what they say of images, and that the runtime reads them."""

import json

import pytest

from maccel_aio._core._manifest import parse_manifest
from maccel_aio.compiler import manifest
from maccel_aio.compiler.importer import import_model
from maccel_aio.compiler.lower import lower_bundle
from maccel_aio.compiler.partition import partition
from maccel_aio.compiler.passes import run_passes
from tests.compiler.onnx_models import Model


def _made(m: Model, *outputs: str, images: bool = True):
    graph = import_model(m.build(*outputs), name="m")
    run_passes(graph)
    (segment,) = partition(graph)
    lowered = lower_bundle(graph, segment.nodes, segment.inputs, segment.outputs, layers={})
    rows = manifest.layer_rows(graph, [(segment, lowered)])
    placed = [manifest.Placed(segment, lowered, (1, 2))]
    data = manifest.build(graph, placed, rows, {}, manifest.Provenance("test"), images=images)
    return parse_manifest(data, 3), json.loads(data)


@pytest.mark.parametrize(("nhwc", "layout"), [(False, "NCHW"), (True, "NHWC")])
def test_images_have_the_layout_of_the_onnx_model(nhwc, layout):
    m = Model({"x": (1, 8, 8, 3) if nhwc else (1, 3, 8, 8)})
    t = m.add("Transpose", "x", perm=[0, 3, 1, 2]) if nhwc else "x"
    out = m.conv(t, (4, 3, 1, 1))
    parsed, _ = _made(m, m.add("Transpose", out, perm=[0, 2, 3, 1]) if nhwc else out)
    (variant,) = parsed.variants
    assert variant.inputs[0].layout == variant.outputs[0].layout == layout


def test_without_images_all_tensors_have_onnx_order():
    m = Model({"x": (1, 3, 8, 8)})
    parsed, _ = _made(m, m.conv("x", (4, 3, 1, 1)), images=False)
    (variant,) = parsed.variants
    assert variant.inputs[0].layout == variant.outputs[0].layout == "ND"


def test_a_batch_of_one_is_a_batch_axis_and_another_is_not():
    for size, axis in ((1, 0), (2, None)):
        m = Model({"x": (size, 3, 8, 8)})
        parsed, _ = _made(m, m.conv("x", (4, 3, 1, 1)))
        assert parsed.variants[0].inputs[0].batch_axis == axis


def test_layers_count_their_work_and_their_constants():
    m = Model({"x": (1, 3, 8, 8)})
    parsed, root = _made(m, m.add("Exp", m.conv("x", (4, 3, 3, 3))), m.add("Sin", "x"))
    conv = next(row for row in parsed.layers if row.op == "Conv")
    assert conv.macs == 4 * 3 * 9 * 36
    assert conv.output_shape == (1, 4, 6, 6)
    assert conv.precision == "float32"
    assert root["variants"][0]["segments"][0]["inputs"] == [{"name": "x", "perm": [0, 2, 3, 1]}]
