"""The page of operators is what the compiler's rules say."""

import importlib.util
from pathlib import Path
from types import ModuleType

from maccel_aio.compiler.passes.canonical import RULES
from maccel_aio.compiler.precision import _FLOAT_READERS

ROOT = Path(__file__).parent.parent.parent


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("operators", ROOT / "tools" / "operators.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current() -> None:
    made = tool()
    assert made.PAGE.read_text() == made.page(), "run: python tools/operators.py"


def test_every_rule_is_for_an_operator_on_the_page() -> None:
    known = tool().versions()
    assert set(RULES) - {"Upsample"} <= set(known) | {"Upsample"}
    assert {"Conv", "If", "Loop", "Scan", "Attention", "NonMaxSuppression"} <= set(known)
    assert known["Softmax"] == [1, 11, 13]
    assert "Upsample" in known  # left the standard in operator set 10


def test_operators_in_float_are_those_that_the_compiler_feeds_with_float() -> None:
    assert {"Softmax", "LayerNorm", "MatMul", "Recurrent", "Attention"} == _FLOAT_READERS
    assert set(RULES) >= tool().FLOAT_ONLY
