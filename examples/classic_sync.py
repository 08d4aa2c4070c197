"""The classic blocking style: the same nouns, no event loop.

maccel-aio zoo compile efficientnet_lite0 -o efficientnet_lite0.mxq
python examples/classic_sync.py efficientnet_lite0.mxq PICTURE...
"""

import argparse

from PIL import Image

import maccel_aio.sync as maccel
from maccel_aio import zoo
from maccel_aio.zoo import efficientnet_lite0


def main(model_path: str, *pictures: str) -> None:
    labels = zoo.labels()
    config = maccel.ModelConfig()
    config.set_single_core_mode(1)
    with maccel.Accelerator() as accelerator, maccel.Model(model_path, config) as model:
        model.launch(accelerator)
        for path in pictures:
            (logits,) = model.infer(efficientnet_lite0.prepare(Image.open(path)))
            print(f"{path}: {labels[logits.argmax()]}")


if __name__ == "__main__":
    show = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=show)
    parser.add_argument("model")
    parser.add_argument("pictures", nargs="+")
    args = parser.parse_args()
    main(args.model, *args.pictures)
