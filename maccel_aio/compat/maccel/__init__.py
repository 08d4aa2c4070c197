"""``maccel`` 0.30.1, name for name: see docs/compat.md for what differs on purpose."""

from __future__ import annotations

from maccel_aio.compat.maccel.future import *  # noqa: F403 - the names of a vendor's package
from maccel_aio.compat.maccel.maccel import MAccelError as MAccelError
from maccel_aio.compat.maccel.type import *  # noqa: F403 - the names of a vendor's package
from maccel_aio.compat.maccel.version import *  # noqa: F403
