"""A river transformer that keeps every feature within limits."""

from __future__ import annotations

from river import base


class Clip(base.Transformer):
    """Keep every feature within ``-limit`` and ``limit``.

    After a scaler it keeps one wild trade from deciding a linear model's prediction.

    Parameters
    ----------
    limit
        Largest absolute value, in the unit of the features.

    Examples
    --------
    >>> Clip(8.0).transform_one({"return_1": 0.5, "volume": -11.0})
    {'return_1': 0.5, 'volume': -8.0}
    """

    def __init__(self, limit: float = 8.0) -> None:
        if not limit > 0:
            raise ValueError(f"limit must be positive, got {limit}: everything would become one number")
        self.limit = limit

    def transform_one(self, x: dict) -> dict:
        """Features with their values limited."""
        limit = self.limit
        return {name: max(min(value, limit), -limit) for name, value in x.items()}
