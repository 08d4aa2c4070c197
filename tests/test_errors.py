"""The error tree: classes, codes and pickling."""

import pickle

import pytest

import maccel_aio
from maccel_aio import errors

CLASSES = [getattr(errors, name) for name in errors.__all__ if name != "error_from_status"]


@pytest.mark.parametrize("cls", CLASSES)
def test_errors_can_be_pickled_whole(cls):
    error = pickle.loads(pickle.dumps(cls("a reason", code=-99, path="model.mxq")))
    assert type(error) is cls
    assert (error.reason, error.code, error.path) == ("a reason", -99, "model.mxq")
    assert str(error) == "model.mxq: a reason"


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_one_of_ours_and_documented(cls):
    assert issubclass(cls, maccel_aio.MaccelError)
    assert issubclass(cls, RuntimeError)
    assert cls.__name__ in errors.__doc__
    assert cls("x").code == cls.status < 0
    assert cls.vendor_name
    if cls is not errors.CompileError:  # the compiler is told apart by people only
        assert getattr(maccel_aio, cls.__name__) is cls


def test_bases_that_programs_rely_on():
    assert issubclass(errors.ShapeError, ValueError)
    assert issubclass(errors.DeadlineError, TimeoutError)
    assert issubclass(errors.OutOfMemoryError, MemoryError)


def test_every_native_status_has_a_class():
    from maccel_aio._core import _binding

    for status in range(-16, 0):
        error = errors.error_from_status(status, "reason")
        assert error.code == status
        assert _binding.status_text(status)
    assert type(errors.error_from_status(-8, "x")) is errors.DeviceLostError
    assert type(errors.error_from_status(-1234, "x")) is errors.MaccelError
