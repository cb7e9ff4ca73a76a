"""Recursive logistic regression: second order, one answer at a time, for probabilities."""

from __future__ import annotations

from river import base

from rtml.kernels import linear
from rtml.models.recursion import Recursion


class RecursiveLogistic(Recursion, base.Classifier):
    """Logistic regression that knows how sure it is of every weight, and moves the uncertain ones most.

    Where stochastic gradient descent takes one small step a feature, whatever it has seen, this takes Newton's: weights
    are a Gaussian, an answer updates its mean and covariance by Laplace's approximation around the prediction (the
    extended Kalman filter of a logistic observation). Rare features of rare answers, fraud, are learned from few of
    them. No learning rate. It costs the square of the number of features.

    After Fahrmeir, "Posterior mode estimation by extended Kalman filtering for multivariate dynamic generalized linear
    models" (JASA 1992); forgetting as in McCormick, Raftery, Madigan and Burd, "Dynamic logistic regression and dynamic
    model averaging for binary classification" (Biometrics 2012); its regret in de Vilmarest and Wintenberger,
    "Stochastic online optimization using Kalman recursion" (JMLR 2021).

    Parameters
    ----------
    ridge
        Penalty on squared weights (the intercept is practically free), in units of squared features: the precision of
        the weights before the first answer.
    forgetting
        Weight of an answer relative to the next one, in (0, 1]; 1 forgets nothing, 0.9999 remembers about 10,000. The
        ridge is renewed as it fades.

    Examples
    --------
    >>> model = RecursiveLogistic()
    >>> for i in range(200):
    ...     model.learn_one({"a": i % 4}, i % 4 > 1)
    >>> [round(model.predict_proba_one({"a": a})[True], 2) for a in (0, 3)]
    [0.01, 0.99]
    """

    kind = linear.RECURSIVE_LOG

    def __init__(self, ridge: float = 1.0, forgetting: float = 1.0) -> None:
        super().__init__(ridge, forgetting)

    @property
    def _multiclass(self) -> bool:
        return False

    def predict_proba_one(self, x: dict) -> dict[bool, float]:
        """Probabilities; a feature that is absent, or was never learned, counts as zero."""
        p = self._predict(x)
        return {False: 1.0 - p, True: p}
