"""The error classes: the vendor's message, and what went wrong as attributes."""

import pickle
from typing import Any

import pytest

from maccel_aio.compat import maccel, qbruntime
from maccel_aio.compat._shared.status import StatusCode

CASES: list[tuple[Any, str]] = [(maccel.MAccelError, "v0.30"), (qbruntime.QbRuntimeError, "v1.5")]
FORM = (
    "Model_NotLaunched occurred.\nPlease visit "
    "https://docs.mobilint.com/{}/doxygen/html_en/group__CPPAPI.html for more details."
)


@pytest.mark.parametrize(("kind", "version"), CASES)
def test_a_message_has_the_vendors_form_and_the_reason_beside_it(kind: Any, version: str) -> None:
    error: Any = kind.of(StatusCode.Model_NotLaunched, "it is not launched", "a.mxq")
    assert error.args == (FORM.format(version),)
    assert issubclass(kind, RuntimeError)
    assert (error.code, int(error.code), str(error.code)) == (
        StatusCode.Model_NotLaunched, 9, "Model_NotLaunched",
    )  # fmt: skip
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.code, again.reason, again.path) == (
        str(error), error.code, "it is not launched", "a.mxq",
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "_version"), CASES)
def test_a_client_can_make_one(kind: Any, _version: str) -> None:
    error: Any = kind("mine")
    assert (str(error), error.code, error.path) == ("mine", None, None)


def test_the_two_classes_do_not_catch_each_other() -> None:
    assert not issubclass(maccel.MAccelError, qbruntime.QbRuntimeError)
    assert not issubclass(qbruntime.QbRuntimeError, maccel.MAccelError)
