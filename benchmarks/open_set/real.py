"""The float models, run by onnxruntime."""

from collections.abc import Mapping

import onnx
import onnxruntime as ort


def open_float(
    model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]
) -> ort.InferenceSession:
    """Return a session of a model whose inputs get the given shapes, whatever it says itself."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        if value.name in shapes:
            dims = value.type.tensor_type.shape
            del dims.dim[:]
            for size in shapes[value.name]:
                dims.dim.add().dim_value = size
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    del fixed.graph.value_info[:]
    options = ort.SessionOptions()
    options.log_severity_level = 3  # some exports warn by the page
    return ort.InferenceSession(fixed.SerializeToString(), options)
