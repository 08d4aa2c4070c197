"""The state in a manifest: what is sound is taken, everything else is a ModelFormatError."""

import copy
from types import SimpleNamespace
from typing import Any

import pytest

from maccel_aio import ModelFormatError
from maccel_aio._core._state_spec import check_state, parse_state
from maccel_aio._core._types import TensorSpec

ENTRY: dict[str, Any] = {
    "slots": 2,
    "length": "length",
    "tokens": {"x": 1, "y": 1},
    "caches": [
        {"name": "k", "input": "past", "output": "new", "axis": 1},
        {"name": "h", "input": "h0", "output": "h1", "axis": None},
    ],
}
INPUTS = {"x": [1, 4, 8], "past": [1, 16, 8], "h0": [2, 1, 8], "length": [1, 1]}
OUTPUTS = {"y": [1, 4, 8], "new": [1, 4, 8], "h1": [2, 1, 8]}


def tensors(shapes):
    return {
        name: TensorSpec(
            name, "float32", tuple(shape), "ND", 0 if shape[0] == 1 else None, 1.0, 0, "float32"
        )
        for name, shape in shapes.items()
    }


def check(change=None):
    made = SimpleNamespace(entry=ENTRY, inputs=INPUTS, outputs=OUTPUTS)
    made.__dict__.update(copy.deepcopy(made.__dict__))
    if change is not None:
        change(made)
    spec = parse_state(made.entry)
    assert spec is not None
    check_state(spec, tensors(made.inputs), tensors(made.outputs))
    return spec


def test_what_is_sound_is_taken():
    spec = check()
    assert spec.hidden == {"past", "new", "h0", "h1", "length"}
    assert not spec.appends
    assert len({cache.layer_hash for cache in spec.caches}) == 2
    assert parse_state(None) is parse_state({}) is None


CHANGES = {
    "no slots": lambda m: m.entry.update(slots=0),
    "too many slots": lambda m: m.entry.update(slots=1 << 20),
    "no caches": lambda m: m.entry.update(caches=[]),
    "a tensor twice": lambda m: m.entry["caches"][1].update(input="past"),
    "a name twice": lambda m: m.entry["caches"][1].update(name="k"),
    "no such input": lambda m: m.entry["caches"][0].update(input="nowhere"),
    "no such output": lambda m: m.entry["caches"][1].update(output="nowhere"),
    "another shape": lambda m: m.inputs.update(h0=[2, 1, 9]),
    "another rank": lambda m: m.outputs.update(h1=[2, 8]),
    "more rows than room": lambda m: m.inputs.update(past=[1, 3, 8]),
    "rows over items": lambda m: m.entry["caches"][0].update(axis=0),
    "rows that no dimension has": lambda m: m.entry["caches"][0].update(axis=3),
    "rows that are not the tokens": lambda m: m.outputs.update(new=[1, 3, 8]),
    "no length": lambda m: m.entry.update(length=None),
    "a length of two": lambda m: m.inputs.update(length=[1, 2]),
    "a length that is no input": lambda m: m.entry.update(length="y"),
    "tokens of the state": lambda m: m.entry["tokens"].update(past=1),
    "tokens of nothing": lambda m: m.entry["tokens"].update(z=1),
    "tokens over items": lambda m: m.entry["tokens"].update(x=0),
    "tokens of outputs only": lambda m: m.entry["tokens"].pop("x"),
    "tokens that differ": lambda m: m.outputs.update(y=[1, 5, 8]),
    "nothing for the caller": lambda m: (m.outputs.pop("y"), m.entry["tokens"].pop("y")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_contradicts_itself_is_refused(change):
    with pytest.raises(ModelFormatError):
        check(change)


def test_a_batch_needs_an_input_that_has_one():
    spec = parse_state({"slots": 1, "length": None, "tokens": {}, "caches": [ENTRY["caches"][1]]})
    assert spec is not None
    inputs, outputs = tensors({"x": [3], "h0": [2, 8]}), tensors({"y": [1], "h1": [2, 8]})
    with pytest.raises(ModelFormatError, match="batch"):
        check_state(spec, inputs, outputs)
