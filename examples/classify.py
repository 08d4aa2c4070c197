"""Name what is in pictures: every picture is a task of its own, the model pipelines them.

maccel-aio zoo compile efficientnet_lite0 -o efficientnet_lite0.mxq
python examples/classify.py efficientnet_lite0.mxq PICTURE...
"""

import argparse

import anyio
import numpy as np
from PIL import Image

import maccel_aio
from maccel_aio import zoo
from maccel_aio.zoo import efficientnet_lite0


async def classify(model: maccel_aio.Model, labels: list[str], path: str) -> None:
    pixels = await anyio.to_thread.run_sync(lambda: efficientnet_lite0.prepare(Image.open(path)))
    (logits,) = await model.infer(pixels)
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    best = np.argsort(-shares)[:5]
    print(path, *(f"{shares[k]:6.1%}  {labels[k]}" for k in best), sep="\n  ")


async def main(model_path: str, pictures: list[str]) -> None:
    labels = await anyio.to_thread.run_sync(zoo.labels)
    async with maccel_aio.load(model_path) as model, anyio.create_task_group() as tasks:
        for path in pictures:
            tasks.start_soon(classify, model, labels, path)


if __name__ == "__main__":
    show = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=show)
    parser.add_argument("model")
    parser.add_argument("pictures", nargs="+")
    args = parser.parse_args()
    anyio.run(main, args.model, args.pictures)
