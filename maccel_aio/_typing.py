"""Names for annotations that this Python may not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Buffer as Buffer
    from typing_extensions import override as override

    Array = NDArray[Any]
    DType = np.dtype[Any]
else:

    def override(method: T) -> T:
        """Mark a method as overriding one of a base class, for the type checker alone."""
        return method
