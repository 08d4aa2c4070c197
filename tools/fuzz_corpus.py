"""Make seeds for the fuzzers out of model files.

usage: python tools/fuzz_corpus.py MODEL.mxq ...

A file is a seed of the container fuzzer, and each of its programs one of the program fuzzer: the
size of the program, the program, its constants. Large ones are left out: fuzzers want small seeds.
"""

import json
import struct
import sys
from pathlib import Path

CORPUS = Path(__file__).resolve().parent.parent / "tests" / "native" / "fuzz" / "corpus"
HEADER = ENTRY = 64
MANIFEST = 1
MOST_BYTES = 64 * 1024


def sections(data: bytes) -> list[tuple[int, bytes]]:
    """Return type and content of each section of a sound file."""
    (count,) = struct.unpack_from("<I", data, 16)
    found = []
    for index in range(count):
        kind, _, offset, size = struct.unpack_from("<IIQQ", data, HEADER + index * ENTRY)
        found.append((kind, data[offset : offset + size]))
    return found


def programs(data: bytes) -> list[bytes]:
    """Return one seed per NPU segment."""
    held = sections(data)
    manifest = json.loads(next(content for kind, content in held if kind == MANIFEST))
    seeds = []
    for variant in manifest["variants"]:
        for segment in variant["segments"]:
            if segment["kind"] == "npu":
                program, consts = held[segment["program"]][1], held[segment["consts"]][1]
                seeds.append(struct.pack("<I", len(program)) + program + consts)
    return seeds


def main(paths: list[str]) -> None:
    """Write the seeds of all files."""
    for path in map(Path, paths):
        data = path.read_bytes()
        seeds = {"container": [data], "program": programs(data)}
        for fuzzer, contents in seeds.items():
            (CORPUS / fuzzer).mkdir(parents=True, exist_ok=True)
            for number, content in enumerate(contents):
                if len(content) <= MOST_BYTES:
                    (CORPUS / fuzzer / f"{path.stem}-{number}").write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1:])
