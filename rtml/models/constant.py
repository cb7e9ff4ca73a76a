"""A model that always gives one answer: what a baseline is, as long as it serves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtml.models.rows import check_names


class Constant:
    """A number, or a probability, whatever is asked.

    Examples
    --------
    >>> Constant(["a"], 0.2, classifier=True).predict([3.0])
    0.2
    """

    kind = "constant"

    def __init__(self, names: Sequence[str], value: float, *, classifier: bool) -> None:
        self.names = check_names(names)
        self.value = float(value)
        self.classifier = bool(classifier)

    @classmethod
    def of(cls, state: dict) -> Constant:
        """Model of a state."""
        return cls(state["names"], state["value"], classifier=state["classifier"])

    def predict(self, x: np.ndarray) -> float:
        """The answer."""
        return self.value

    @property
    def state(self) -> dict:
        """Everything that the answer depends on."""
        return {"kind": self.kind, "names": list(self.names), "value": self.value, "classifier": self.classifier}

    def describe(self) -> str:
        """The answer, in words."""
        return f"always {self.value:g}"
