"""Arrays as compiled functions take them: contiguous and writable, whatever a frame or a file gave."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike


def plain(values: ArrayLike, dtype: DTypeLike) -> np.ndarray:
    """The values themselves where they are plain already, otherwise a copy.

    What pandas 3 and Arrow hand out is read-only, and a column of a table has strides: no compiled signature fits.

    Examples
    --------
    >>> column = np.arange(6).reshape(3, 2)[:, 0]
    >>> column.flags.writeable = False
    >>> plain(column, np.float64).flags.writeable, plain(column, np.float64)
    (True, array([0., 2., 4.]))
    """
    array = np.ascontiguousarray(values, dtype)
    return array if array.flags.writeable else array.copy()
