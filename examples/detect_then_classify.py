"""Two models, one after the other: find the faces, then say what each cut-out looks like.

maccel-aio zoo compile centerface --shape 512x512 -o centerface.mxq
maccel-aio zoo compile efficientnet_lite0 -o efficientnet_lite0.mxq
python examples/detect_then_classify.py centerface.mxq efficientnet_lite0.mxq PICTURE

Both models live on one accelerator. The cut-outs of a picture are classified at the same time, as
one batch.
"""

import argparse

import anyio
import numpy as np
from PIL import Image

import maccel_aio
from maccel_aio import zoo
from maccel_aio.zoo import centerface, efficientnet_lite0


async def main(detector_path: str, classifier_path: str, picture: str) -> None:
    labels = await anyio.to_thread.run_sync(zoo.labels)
    image = await anyio.to_thread.run_sync(lambda: Image.open(picture).convert("RGB"))
    async with (
        maccel_aio.Accelerator() as accelerator,
        accelerator.load(detector_path) as detector,
        accelerator.load(classifier_path) as classifier,
    ):
        height, width = detector.inputs[0].shape[-2:]
        pixels, *_ = centerface.prepare(image, height, width)
        faces = centerface.decode(await detector.infer(pixels))
        if not faces:
            print("no faces")
            return
        shown = Image.fromarray(pixels)
        boxes = [(round(a), round(b), round(c), round(d)) for a, b, c, d in (f.box for f in faces)]
        cuts = [efficientnet_lite0.prepare(shown.crop(box)) for box in boxes]
        (logits,) = await classifier.infer(np.stack(cuts))
        for face, box, row in zip(faces, boxes, logits, strict=True):
            print(f"{face.score:.2f} {box}: {labels[int(row.argmax())]}")


if __name__ == "__main__":
    show = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=show)
    parser.add_argument("detector")
    parser.add_argument("classifier")
    parser.add_argument("picture")
    args = parser.parse_args()
    anyio.run(main, args.detector, args.classifier, args.picture)
