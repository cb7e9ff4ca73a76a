"""The compiled twins of the baselines of a number: the same predictions from eight numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtml.kernels import baselines as kernels
from rtml.models.baselines import AR1, LastAnswer, RunningMean, Zero
from rtml.models.rows import RowModel, check_names, check_row


class CompiledBaseline(RowModel):
    """A baseline that learns and answers from eight numbers.

    Examples
    --------
    >>> model = baseline_twin(RunningMean(), ("a",))
    >>> for y in (1.0, 3.0):
    ...     model.learn(np.zeros(1), y)
    >>> model.predict(np.zeros(1)), model.describe()
    (2.0, 'RunningMean')
    """

    twin = "baseline"
    _ARRAYS = ("_learned",)

    def __init__(self, names: Sequence[str], learned: np.ndarray) -> None:
        self.names, self._learned = check_names(names), learned

    def predict(self, x: np.ndarray) -> float:
        """Prediction for a row in the order of ``names``."""
        return kernels.predict(check_row(x, self.names), self._learned)

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn one answer, or refuse it and stay as it was."""
        kernels.learn(check_row(x, self.names), self._label(y), self._learned)

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk in a kernel (see :func:`rtml.kernels.baselines.replay`)."""
        predictions = np.empty(len(moment))
        return predictions, kernels.replay(X, y, moment, known, order, until, predictions, self._learned)

    @property
    def weights(self) -> dict[str, float]:
        """None of a feature, but of the one that a line goes through."""
        learned, slope = self._learned, 0.0
        if learned[kernels.KIND] == kernels.LINE and learned[kernels.SPREAD] > 0.0:
            slope = float(learned[kernels.PRODUCT] / learned[kernels.SPREAD])
        return dict.fromkeys(self.names, 0.0) | {self.names[int(learned[kernels.COLUMN])]: slope}

    def describe(self) -> str:
        """The river model this is the twin of."""
        name = list(_KINDS)[int(self._learned[kernels.KIND])].__name__
        return f"{name}({self.names[int(self._learned[kernels.COLUMN])]})" if name == "AR1" else name

    def _same(self, state: dict) -> bool:
        return np.array_equal(state["learned"][:2], self._learned[:2])


#: Where a twin keeps what the river model calls so, in the order of the kernel's kinds.
_KINDS = {
    Zero: {},
    RunningMean: {"n": kernels.COUNT, "mean": kernels.MEAN_Y},
    AR1: {
        "n": kernels.COUNT,
        "mean_x": kernels.MEAN_X,
        "mean_y": kernels.MEAN_Y,
        "spread": kernels.SPREAD,
        "product": kernels.PRODUCT,
    },
    LastAnswer: {"newest": kernels.NEWEST},
}


def baseline_twin(model, names: tuple[str, ...], classes: tuple = ()) -> CompiledBaseline | None:
    """Twin of a baseline, with what it has learned; None where the feature of its line is not among the columns.

    Examples
    --------
    >>> baseline_twin(LastAnswer(), ("a",)).describe(), baseline_twin(AR1("b"), ("a",))
    ('LastAnswer', None)
    """
    if classes or type(model) not in _KINDS or getattr(model, "feature", names[0]) not in names:
        return None
    learned = kernels.fresh(list(_KINDS).index(type(model)), names.index(getattr(model, "feature", names[0])))
    for name, place in _KINDS[type(model)].items():
        learned[place] = getattr(model, name)
    return CompiledBaseline(names, learned)
