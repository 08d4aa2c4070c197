"""The version of the vendor's package whose behaviour this one has."""

from __future__ import annotations

__all__ = ["__git_version__", "__product__", "__vendor__", "__version__"]

__version__: str = "v0.30.1"
__git_version__: str = "210c058b"
__vendor__: str = "mobilint"
__product__: str = "aries2-v4"
