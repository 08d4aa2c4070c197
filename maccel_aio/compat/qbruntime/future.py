"""The future of an asynchronous call."""

from __future__ import annotations

from typing import List, Optional, Union  # noqa: UP035 - clients can reach these names

import numpy as np

from maccel_aio.compat._shared.future import BaseFuture
from maccel_aio.compat._shared.log import package_logger
from maccel_aio.compat.qbruntime.qbruntime import QbRuntimeError

__all__ = ["Future", "List", "Optional", "Union", "np"]


class Future(BaseFuture):
    """A result that is on its way; see the methods."""

    _error = QbRuntimeError
    _log = package_logger("qbruntime")
