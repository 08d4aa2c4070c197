"""Find the faces in a picture, and write it with a box around each.

maccel-aio zoo compile centerface --shape 512x512 -o centerface.mxq
python examples/detect_faces.py centerface.mxq PICTURE faces.png
"""

import argparse

import anyio
import numpy as np
from PIL import Image

import maccel_aio
from maccel_aio.zoo import centerface, drawing


async def main(model_path: str, picture: str, target: str) -> None:
    image = await anyio.to_thread.run_sync(lambda: Image.open(picture).convert("RGB"))
    async with maccel_aio.load(model_path) as model:
        height, width = model.inputs[0].shape[-2:]
        pixels, scale = centerface.prepare(image, height, width)
        outputs = await model.infer(pixels)
    faces = centerface.decode(outputs, scale)
    for face in faces:
        left, top, right, bottom = face.box
        print(f"{face.score:.3f}  {left:.0f},{top:.0f} - {right:.0f},{bottom:.0f}")
    drawn = Image.fromarray(drawing.draw_faces(np.asarray(image), faces))
    await anyio.to_thread.run_sync(drawn.save, target)


if __name__ == "__main__":
    show = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=show)
    parser.add_argument("model")
    parser.add_argument("picture")
    parser.add_argument("target")
    args = parser.parse_args()
    anyio.run(main, args.model, args.picture, args.target)
