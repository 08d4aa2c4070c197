"""Several sets of input shapes in one file: a call takes the first that its arrays fit."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maccel_aio import compiler
from maccel_aio.compiler import container
from maccel_aio.compiler.isa import Section
from maccel_aio.errors import CompileError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from maccel_aio.compiler.importer import ModelLike
    from maccel_aio.compiler.report import CompileReport

_SECTIONS = ("program", "consts", "onnx")


def compile_variants(
    model: ModelLike,
    out: str | os.PathLike[str],
    variants: Sequence[Mapping[str, Sequence[int]]],
    *,
    calibration: Any = None,  # noqa: ANN401 - as compile takes it, or a list of such
    **options: Any,  # noqa: ANN401 - those of compile
) -> list[CompileReport]:
    """Compile a model for several sets of input shapes into one file. Blocks; any thread.

    Args:
        model: as for ``compile``.
        out: the file to write; replaced at once when everything is done.
        variants: shapes of inputs by name, the preferred ones first. One with a dimension of
            variable length (-1) at the end takes what no other takes, on the CPU.
        calibration: as for ``compile``, for all variants (pictures are scaled to each), or a list
            with one for each.
        options: the others of ``compile``.

    Returns:
        A report for each variant; path and size are those of the one file.

    Raises:
        CompileError: as ``compile`` does; or there are no variants, or two with the same shapes.
        InvalidError: as ``compile`` does.
        OSError: as ``compile`` does.
    """
    target = container.check_target(out)
    each = list(calibration) if isinstance(calibration, list) else [calibration] * len(variants)
    if not variants or len(each) != len(variants):
        raise CompileError(f"{len(variants)} variants and {len(each)} sources of calibration")
    options.setdefault("name", target.stem)
    reports: list[CompileReport] = []
    files: list[bytes] = []
    with tempfile.TemporaryDirectory(prefix="maccel-") as folder:
        path = Path(folder) / "variant.mxq"
        for shapes, source in zip(variants, each, strict=True):
            reports.append(
                compiler.compile(model, path, shapes=shapes, calibration=source, **options)
            )
            files.append(path.read_bytes())
    data = merge(files)
    written = container.write(target, data)
    return [replace(report, path=str(written), file_bytes=len(data)) for report in reports]


def merge(files: Sequence[bytes]) -> bytes:
    """Return one file with the variants of all; sections that are equal are kept once.

    The layer table is the longest of theirs: programs number their layers in the same order.

    Raises:
        CompileError: two variants take the same shapes.
    """
    sections: list[tuple[Section, bytes]] = []
    numbers: dict[tuple[Section, bytes], int] = {}
    roots: list[dict[str, Any]] = []
    for data in files:
        head, *parts = container.unpack(data)
        renumber: dict[int, int] = {}
        for index, (kind, part) in enumerate(parts, 1):
            key = (kind, hashlib.sha256(part).digest())
            if key not in numbers:
                sections.append((kind, part))
                numbers[key] = len(sections)  # the manifest is section 0
            renumber[index] = numbers[key]
        roots.append(_renumbered(json.loads(head[1]), renumber))
    root = roots[0]
    root["variants"] = [variant for one in roots for variant in one["variants"]]
    root["layers"] = max((one["layers"] for one in roots), key=len)
    _check_shapes(root["variants"])
    text = json.dumps(root, separators=(",", ":"), ensure_ascii=False).encode()
    return container.pack([(Section.MANIFEST, text), *sections])


def _renumbered(root: dict[str, Any], numbers: Mapping[int, int]) -> dict[str, Any]:
    for variant in root["variants"]:
        for segment in variant["segments"]:
            segment.update({key: numbers[segment[key]] for key in _SECTIONS if key in segment})
    return root


def _check_shapes(variants: Sequence[dict[str, Any]]) -> None:
    shapes = [[spec["shape"] for spec in variant["inputs"]] for variant in variants]
    for index, shape in enumerate(shapes):
        if shape in shapes[:index]:
            raise CompileError(f"two variants have the shapes {shape}")
