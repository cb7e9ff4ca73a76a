"""Impact of a change of the features on loss and predictions, estimated before its labels arrive."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rtml.core.later import pd


class Effects:
    """How a value depends on the bins of the columns: an additive model, fitted once on the reference.

    With the loss as value it estimates the loss of a window whose labels are not known yet, from where its rows lie
    alone (direct loss estimation); the change adds up over columns, so the part of each column is known. Each bin
    is drawn to zero as if it had been seen ``pull`` times more, so that chance counts for little.

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
    def fitted(cls, codes: np.ndarray, values: np.ndarray, shares: np.ndarray, pull: float = 20.0) -> Effects:
        """Effects on ``values`` of the bins of the same rows; ``shares`` of the reference define the bins."""
        has = shares > 0
        usual = np.stack([np.bincount(column, minlength=shares.shape[1]) for column in codes.T]) / len(codes)
        place = (np.cumsum(has).reshape(has.shape) - 1).astype(np.int64)
        design = np.zeros((len(codes), int(has.sum())))
        for j, column in enumerate(codes.T):
            design[np.arange(len(codes)), place[j, column]] = 1.0
        design -= design.mean(axis=0)
        table = np.zeros(shares.shape)
        normal = design.T @ design + pull * np.eye(design.shape[1])
        table[has] = np.linalg.solve(normal, design.T @ (values - values.mean()))
        return cls(table, usual)

    def change(self, window: np.ndarray) -> np.ndarray:
        """Change of the mean value, column by column, of a window with these shares of bins."""
        return ((window - self.usual) * self.table).sum(axis=1)


def restored(
    predict: Callable[[np.ndarray], float],
    recent: np.ndarray,
    reference: np.ndarray,
    names: Sequence[str],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """What a model would predict, were one feature distributed as in the reference: ``feature, change, moved``.

    ``change`` is the mean prediction as it is less that with the feature restored (its values replaced by drawn ones of
    the reference), ``moved`` the mean absolute difference; the largest first.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> now, before = rng.normal(1, 1, (500, 2)), rng.normal(0, 1, (500, 2))
    >>> restored(lambda x: 2 * x[0], now, before, ["a", "b"], rng)["feature"].tolist()
    ['a', 'b']
    """
    predictions, rows = np.array([predict(x) for x in recent]), []
    for j, name in enumerate(names):
        other = recent.copy()
        other[:, j] = rng.choice(reference[:, j], len(recent))
        difference = predictions - np.array([predict(x) for x in other])
        rows.append((name, difference.mean(), np.abs(difference).mean()))
    table = pd.DataFrame(rows, columns=["feature", "change", "moved"])
    return table.sort_values("change", key=abs, ascending=False, ignore_index=True)
