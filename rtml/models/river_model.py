"""Any river model behind the face of a compiled one: the only door to ``learn_one`` and ``predict_one``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from river import base

from rtml.models.adapters import Adapter, final_step, probabilities
from rtml.models.parts import multiclass


class RiverModel(Adapter):
    """A river regressor, classifier or anomaly detector that takes rows instead of dicts.

    A missing value (NaN) is left out of the dict. A classifier of two classes is asked for the probability of True and
    learns True and False; with ``classes`` it learns their names and gives the probability of each, one that can tell
    only two apart as one against the rest. An anomaly detector gives its score and learns without labels.

    Examples
    --------
    >>> from river import naive_bayes
    >>> model = RiverModel(naive_bayes.GaussianNB(), ["a"], classes=["low", "middle", "high"])
    >>> for i in range(30):
    ...     model.learn([float(i)], i // 10)
    >>> int(model.predict([15.0]).argmax())
    1
    """

    kind = "river"

    def __init__(self, model: base.Estimator, names: Sequence[str], classes: Sequence[str | int] = ()) -> None:
        if len(classes) and not _is_classifier(model):
            raise ValueError(f"{model} is no classifier: it cannot tell {len(classes)} classes apart")
        if len(classes) and not final_step(model)._multiclass:
            model = multiclass.OneVsRestClassifier(model)
        super().__init__(model, names, classes)

    def describe(self) -> str:
        """The model as river names it."""
        steps = self.model.steps.values() if hasattr(self.model, "steps") else [self.model]
        return " | ".join(str(step) for step in steps)

    def _read(self) -> None:
        self.classifier = _is_classifier(self.model)
        self.unsupervised = isinstance(final_step(self.model), base.AnomalyDetector)

    def _ask(self, x: np.ndarray) -> float | np.ndarray:
        row = self._dict(x)
        if self.unsupervised:
            return float(self.model.score_one(row))
        if not self.classifier:
            guess = self.model.predict_one(row)
            return 0.0 if guess is None else float(guess)
        odds = self._odds(row)
        if self.classes:
            return probabilities([odds.get(name, 0.0) for name in self.classes], self)
        return float(odds.get(True, 0.0)) if odds else 0.5

    def _odds(self, row: dict) -> dict:
        """Probabilities by label; of a model that has none, all of it to the label it names."""
        try:
            return self.model.predict_proba_one(row)
        except NotImplementedError:
            label = self.model.predict_one(row)
            return {} if label is None else {label: 1.0}

    def _learn_row(self, x: np.ndarray, y: float) -> None:
        row = self._dict(x)
        if self.unsupervised:
            self.model.learn_one(row)
        elif self.classes:
            self.model.learn_one(row, self.classes[int(y)])
        else:
            self.model.learn_one(row, bool(y) if self.classifier else float(y))

    def _dict(self, x: np.ndarray) -> dict[str, float]:
        row = dict(zip(self.names, x.tolist(), strict=True))
        return row if not np.isnan(x).any() else {name: value for name, value in row.items() if value == value}


def _is_classifier(model) -> bool:
    return isinstance(final_step(model), base.Classifier)
