"""The command line: ``maccel-aio``, and ``python -m maccel_aio.cli``."""

from maccel_aio.cli._main import main

__all__ = ["main"]
