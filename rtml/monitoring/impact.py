"""Impact of a change of the features on the loss, estimated before its labels arrive."""

from __future__ import annotations

import numpy as np

PULL = 20.0  # times that each bin counts as seen without an effect


class Effects:
    """How a value depends on the bins of the columns: an additive model, fitted once on the reference.

    With the loss as value it estimates the loss of a window whose labels are not known yet, from where its rows lie
    alone (direct loss estimation); the change adds up over columns, so the part of each column is known. Each bin
    is drawn to zero as if it had been seen ``PULL`` times more, so that chance counts for little.

    Examples
    --------
    >>> from rtml.monitoring.drift.reference import Bins
    >>> x = np.linspace(-1, 1, 1000)
    >>> bins = Bins.of(x[:, None])
    >>> effects = Effects.fitted(bins.codes(x[:, None]), 1.0 * (x > 0), bins.shares)
    >>> window = bins.smoothed(bins.counts(bins.codes(x[500:, None])))
    >>> effects.change(window).round(1).tolist()
    [0.4]
    """

    def __init__(self, table: np.ndarray, usual: np.ndarray) -> None:
        self.table, self.usual = np.array(table), np.array(usual)  #: effect and reference share by column and bin

    @classmethod
    def fitted(cls, codes: np.ndarray, values: np.ndarray, shares: np.ndarray) -> Effects:
        """Effects on ``values`` of the bins of the same rows; ``shares`` of the reference define the bins."""
        has = shares > 0
        usual = np.stack([np.bincount(column, minlength=shares.shape[1]) for column in codes.T]) / len(codes)
        place = (np.cumsum(has).reshape(has.shape) - 1).astype(np.int64)
        design = np.zeros((len(codes), int(has.sum())))
        for j, column in enumerate(codes.T):
            design[np.arange(len(codes)), place[j, column]] = 1.0
        design -= design.mean(axis=0)
        table = np.zeros(shares.shape)
        normal = design.T @ design + PULL * np.eye(design.shape[1])
        table[has] = np.linalg.solve(normal, design.T @ (values - values.mean()))
        return cls(table, usual)

    def change(self, window: np.ndarray) -> np.ndarray:
        """Change of the mean value, column by column, of a window with these shares of bins."""
        return ((window - self.usual) * self.table).sum(axis=1)
