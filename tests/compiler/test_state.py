"""State options: what the compiler writes, and what it refuses before it works."""

import pytest

from maccel_aio._core._file import read_manifest
from maccel_aio.compiler import CompileError, StateOptions, compile  # noqa: A004 - name of the act
from tests import kvmodel

PAIRS = {"past_k": "new_k", "past_v": "new_v"}


def test_the_manifest_says_what_the_options_say(tmp_path):
    path = kvmodel.build(tmp_path / "kv.mxq", tokens=2, slots=5)
    state = read_manifest(path).state
    assert state is not None
    assert (state.slots, state.length, state.tokens) == (5, "length", {"x": 1, "y": 1})
    assert [(c.name, c.input, c.output, c.axis) for c in state.caches] == [
        ("past_k", "past_k", "new_k", 1),
        ("past_v", "past_v", "new_v", 1),
    ]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (StateOptions({"past": "new_k"}, "length"), "'past' is no input"),
        (StateOptions({"past_k": "new"}, "length"), "'new' is no output"),
        (StateOptions(PAIRS, "size"), "'size' is no input"),
        (StateOptions(PAIRS, "length", {"z": 1}), "'z' is no input or output"),
        (StateOptions({"length": "new_k"}), "may differ in one dimension"),
    ],
)
def test_what_does_not_fit_the_graph_is_refused(tmp_path, options, match):
    model = kvmodel.attention(2, kvmodel.Weights())
    with pytest.raises(CompileError, match=match):
        compile(model, tmp_path / "kv.mxq", precision="float32", state=options)
    assert not (tmp_path / "kv.mxq").exists()
