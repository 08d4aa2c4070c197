"""Futures of the classic packages: read once, and then not valid any more."""

import threading
from typing import Any

import numpy as np
import pytest

from maccel_aio.compat import maccel, qbruntime
from maccel_aio.compat._shared.status import StatusCode

BOTH = pytest.mark.parametrize("package", [maccel, qbruntime])


class Result:
    """A result that a test brings about."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.problem: Exception | None = None

    def wait(self, timeout: float | None) -> bool:
        return self.ready.wait(timeout)

    def result(self) -> list[Any]:
        self.ready.wait(5)
        if self.problem is not None:
            raise self.problem
        return [np.ones(2)]


def error_of(package: Any) -> Any:
    return package.MAccelError if package is maccel else package.QbRuntimeError


@BOTH
def test_a_result_is_read_once(package: Any) -> None:
    coming, inputs = Result(), [np.zeros(3)]
    future = package.Future.from_cpp(coming, inputs)
    assert not future.wait_for(0)
    assert not future.wait_for(-1)
    assert not future.done()
    assert future._inputs is inputs
    coming.ready.set()
    assert future.wait_for(1000)
    assert future.done()
    assert [output.tolist() for output in future.get()] == [[1.0, 1.0]]
    assert vars(future)["_inputs"] is None
    with pytest.raises(error_of(package), match="Future_NotValid occurred") as caught:
        future.get()
    assert caught.value.code is StatusCode.Future_NotValid
    assert (future.wait_for(0), future.done()) == (False, True)


@BOTH
def test_a_failure_is_read_once_too(package: Any) -> None:
    coming = Result()
    coming.problem = KeyError("why")
    coming.ready.set()
    future = package.Future(coming)
    with pytest.raises(KeyError, match="why"):
        future.get()
    with pytest.raises(error_of(package)):
        future.get()


@BOTH
def test_of_many_readers_one_gets_the_result(package: Any) -> None:
    coming = Result()
    future, got, lost = package.Future(coming), [], []

    def read() -> None:
        try:
            got.append(future.get())
        except RuntimeError as problem:
            lost.append(problem)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    coming.ready.set()
    for thread in threads:
        thread.join()
    assert (len(got), len(lost)) == (1, 7)
