"""Recurrent layers become one node, or keep their ONNX form and say why."""

import numpy as np
import pytest

from maccel_aio.compiler.isa import Recurrence
from maccel_aio.compiler.passes.recurrent import GATES
from tests.compiler.cases import recurrent_layer
from tests.compiler.onnx_models import Model
from tests.compiler.passes.graphs import passed

SHAPE = (5, 3, 7)


@pytest.mark.parametrize(
    ("op", "attrs", "kind", "backward"),
    [
        ("RNN", {}, Recurrence.RNN, 0),
        ("LSTM", {"direction": "reverse"}, Recurrence.LSTM, 1),
        ("LSTM", {"direction": "bidirectional"}, Recurrence.LSTM, 2),
        ("GRU", {}, Recurrence.GRU, 0),
        ("GRU", {"linear_before_reset": 1}, Recurrence.GRU_LINEAR, 0),
    ],
)
def test_a_layer_is_one_node_for_all_directions(op, attrs, kind, backward):
    m = Model({"x": SHAPE})
    (node,) = passed(m, *recurrent_layer(m, op, **attrs), simplify=False).nodes
    assert (node.op, node.attrs["kind"], node.attrs["backward"]) == ("Recurrent", kind, backward)
    directions = 2 if backward == 2 else 1
    assert node.attrs["weights"].shape == (directions * GATES[kind] * 9, 7)
    assert node.attrs["hidden_weights"].shape == (directions, GATES[kind] * 9, 9)


def test_both_biases_are_one_except_behind_a_linear_reset():
    m = Model({"x": SHAPE})
    outputs = recurrent_layer(m, "GRU", linear_before_reset=1)
    (node,) = passed(m, *outputs, simplify=False).nodes
    assert node.attrs["bias"].shape == (27,)
    assert node.attrs["hidden_bias"].shape == (1, 9)
    m = Model({"x": SHAPE})
    (node,) = passed(m, *recurrent_layer(m, "GRU"), simplify=False).nodes
    assert node.attrs["hidden_bias"] is None


@pytest.mark.parametrize(("results", "letters"), [(1, "y"), (2, "yh"), (3, "yhc")])
def test_only_results_that_somebody_reads_are_made(results, letters):
    m = Model({"x": SHAPE})
    (node,) = passed(m, *recurrent_layer(m, "LSTM", results=results), simplify=False).nodes
    assert "".join(node.attrs["results"]) == letters
    assert len(node.outputs) == results


def test_a_first_state_of_zeros_is_left_out():
    m = Model({"x": SHAPE})
    zeros = m.const(np.zeros((1, 3, 9), np.float32))
    weights = [m.random(1, 9, 7), m.random(1, 9, 9)]
    out = m.add("RNN", "x", *weights, "", "", zeros, outputs=1, hidden_size=9)
    (node,) = passed(m, str(out), simplify=False).nodes
    assert node.inputs[1:] == ["", ""]


@pytest.mark.parametrize(
    ("op", "attrs", "why"),
    [
        ("LSTM", {"clip": 0.5}, "clip"),
        ("LSTM", {"input_forget": 1}, "input_forget"),
        ("GRU", {"activations": ["Tanh", "Tanh"]}, "activations"),
    ],
)
def test_what_the_device_has_no_form_of_says_why(op, attrs, why):
    m = Model({"x": SHAPE})
    (node,) = passed(m, *recurrent_layer(m, op, **attrs), simplify=False).nodes
    assert node.op == op
    assert why in node.reason
