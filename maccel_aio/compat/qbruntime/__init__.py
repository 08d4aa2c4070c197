"""``qbruntime`` 1.5.0, name for name: see docs/compat.md for what differs on purpose."""

from __future__ import annotations

from maccel_aio.compat.qbruntime.future import *  # noqa: F403 - the names of a vendor's package
from maccel_aio.compat.qbruntime.qbruntime import QbRuntimeError as QbRuntimeError
from maccel_aio.compat.qbruntime.type import *  # noqa: F403 - the names of a vendor's package
from maccel_aio.compat.qbruntime.version import *  # noqa: F403
