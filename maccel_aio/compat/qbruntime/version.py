"""The version of the vendor's package whose behaviour this one has."""

from __future__ import annotations

__all__ = ["__git_version__", "__product__", "__vendor__", "__version__"]

__version__: str = "v1.5.0"
__git_version__: str = "00549289"
__vendor__: str = ""
__product__: str = ""
