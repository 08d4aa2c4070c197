"""The vendor's two Python packages, name for name, over this library.

``maccel_aio.compat.maccel`` and ``maccel_aio.compat.qbruntime`` have the members, signatures and
observable behaviour of ``maccel`` 0.30.1 and ``qbruntime`` 1.5.0; docs/compat.md lists where they
differ on purpose. ``install()`` lets a program that imports those get these.
"""

from maccel_aio.compat._install import install as install
from maccel_aio.compat._install import uninstall as uninstall

__all__ = ["install", "uninstall"]
