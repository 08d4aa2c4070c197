"""Two models chained on the device: faces are painted out, then the scene is classified.

maccel-aio zoo compile efficientnet_lite0 -o efficientnet_lite0.mxq
python examples/chain_on_device.py faceless.mxq efficientnet_lite0.mxq PICTURE

The first model is CenterFace with a few layers behind it that turn its heat map into a picture
that the classifier can read. So the job of the first is the input of the second, and neither the
event loop nor Python has a part in what happens in between. It is compiled when it is not there.
"""

import argparse
from pathlib import Path

import anyio
import numpy as np
import onnx
from onnx import helper
from PIL import Image

import maccel_aio
from maccel_aio import zoo
from maccel_aio.zoo import centerface, efficientnet_lite0

SIDE = 2 * efficientnet_lite0.SIZE
#: A cell of the heat map is four pixels wide; four times a face grows by four cells on each side.
GROW = {"kernel_shape": [9, 9], "pads": [4, 4, 4, 4]}
NUMBERS = {"steep": [-20.0], "one_and_threshold": [1 + 20 * 0.35], "zoom": [1.0, 1.0, 4.0, 4.0]}


def faceless() -> onnx.ModelProto:
    """Return CenterFace with one output: the picture without faces."""
    model = onnx.load(zoo.get("centerface"))
    graph, picture, last = model.graph, model.graph.input[0].name, model.graph.output[0].name
    for name, values in NUMBERS.items():
        made = helper.make_tensor(name, onnx.TensorProto.FLOAT, [len(values)], values)
        graph.initializer.append(made)

    def add(kind: str, *inputs: str, **attributes: float | str | list[int]) -> str:
        name = f"faceless_{len(graph.node)}"
        node = graph.node.add(op_type=kind, input=inputs, output=[name])
        node.attribute.extend(helper.make_attribute(*item) for item in attributes.items())
        return name

    for _ in range(4):
        last = add("MaxPool", last, **GROW)
    last = add("Add", add("Mul", last, "steep"), "one_and_threshold")
    keep = add("Clip", last, min=0.0, max=1.0)  # 0 where a face is, 1 where none is
    last = add("Mul", picture, add("Upsample", keep, "zoom", mode="nearest"))
    last = add("AveragePool", last, kernel_shape=[2, 2], strides=[2, 2])
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, None))
    return model


def build(path: str) -> None:
    maccel_aio.compile(
        faceless(), path, calibration=zoo.get("photos"), shapes={"input.1": (1, 3, SIDE, SIDE)},
        preprocess=centerface.PREPROCESS,
    )  # fmt: skip


async def main(first: str, second: str, picture: str) -> None:
    labels = await anyio.to_thread.run_sync(zoo.labels)
    image = await anyio.to_thread.run_sync(lambda: Image.open(picture).convert("RGB"))
    async with maccel_aio.Accelerator() as acc, acc.load(first) as hide, acc.load(second) as name:
        job = hide.try_submit(np.asarray(image.resize((SIDE, SIDE))))
        (logits,) = await name.infer(job)  # handed over before the first has begun
        print(f"without faces: {labels[int(logits.argmax())]}")


if __name__ == "__main__":
    show = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=show)
    for argument in ("first", "second", "picture"):
        parser.add_argument(argument)
    args = parser.parse_args()
    if not Path(args.first).exists():
        build(args.first)
    anyio.run(main, args.first, args.second, args.picture)
