"""Which devices the classic accelerators open, and when they close."""

import gc
from types import ModuleType
from typing import Any

import pytest

from maccel_aio._core import _device
from maccel_aio.compat import maccel, qbruntime
from maccel_aio.compat._shared.status import StatusCode

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_a_device_is_open_for_as_long_as_somebody_has_it(package: ModuleType) -> None:
    one, two = package.Accelerator(), package.Accelerator(0)
    assert _device.still_open() == ["soft:0"]
    del one
    gc.collect()
    assert _device.still_open() == ["soft:0"]
    other = package.Accelerator(1)
    assert other._accelerator.number == 1
    del two, other
    gc.collect()
    assert not _device.still_open()


@pytest.mark.parametrize("number", [1.0, None, 2**31])
def test_no_number_is_refused(package: ModuleType, number: Any) -> None:
    with pytest.raises(TypeError):
        package.Accelerator(number)


def test_a_device_that_is_not_there_is_told(package: ModuleType, error: Any) -> None:
    for number in (-1, 10**6):
        with pytest.raises(error) as caught:
            package.Accelerator(number)
        wanted = "Driver_NotInitialized" if package is maccel else "Acc_DeviceNotFound"
        assert caught.value.code.name == wanted
        assert str(number) in caught.value.reason


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("foo", StatusCode.Acc_UnknownDevice), ("", StatusCode.Acc_UnknownDevice),
        ("aries0", StatusCode.Acc_UnknownDevice), ("regulus", StatusCode.Acc_DeviceNotFound),
        ("Regulus-USB", StatusCode.Acc_DeviceNotFound),
        ("regulus-ra", StatusCode.Driver_NotInitialized),
        ("regulus-rb-usb", StatusCode.Driver_NotInitialized),
        ("soft:x", StatusCode.Acc_DeviceNotFound),
    ],
)  # fmt: skip
def test_names_are_told_apart(name: str, code: StatusCode) -> None:
    with pytest.raises(qbruntime.QbRuntimeError) as caught:
        qbruntime.Accelerator(name)
    assert caught.value.code is code


@pytest.mark.parametrize("name", ["auto", "aries", "ARIES", "aries-rb", "null"])
def test_the_software_npu_has_the_name_of_its_hardware(name: str) -> None:
    assert qbruntime.Accelerator(name).get_device_name() == "aries-rb"
    assert qbruntime.Accelerator(device_name=name, dev_no=0).get_device_name() == "aries-rb"


def test_available_cores_are_the_local_ones() -> None:
    cores = maccel.Accelerator().get_available_cores()
    assert len(cores) == 8
    assert maccel.ModelConfig().set_single_core_mode(core_ids=cores)
    assert cores == maccel.ModelConfig().get_core_ids()
