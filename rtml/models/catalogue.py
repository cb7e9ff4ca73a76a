"""Models by name: baselines, linear models and a tree, ready to learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd
from river import base, linear_model, optim, preprocessing, tree

from rtml.models.baselines import AR1, Majority, RidgeRefit, RunningMean, Zero
from rtml.models.boosted import BoostedRefit
from rtml.models.calibrated import Calibrate
from rtml.models.clip import Clip
from rtml.models.forest import AdaptiveRandomForest
from rtml.models.ranking import RANKINGS
from rtml.models.recursive_logistic import RecursiveLogistic
from rtml.models.rls import RecursiveLeastSquares


class Entry(NamedTuple):
    """A model of the zoo."""

    kind: str
    build: Callable[[], base.Estimator]
    meaning: str


def _recursive(forgetting: float = 0.999) -> base.Estimator:
    return preprocessing.StandardScaler() | Clip(8.0) | RecursiveLeastSquares(ridge=100.0, forgetting=forgetting)


def _descent() -> base.Estimator:
    return preprocessing.StandardScaler() | linear_model.LinearRegression(optim.SGD(0.0003), intercept_lr=0.0003)


def _logistic() -> base.Estimator:
    return preprocessing.StandardScaler() | Clip(8.0) | linear_model.LogisticRegression(optim.SGD(0.005))


def _recursive_logistic() -> base.Estimator:
    return preprocessing.StandardScaler() | Clip(12.0) | RecursiveLogistic(ridge=1.0, forgetting=0.99999)


def _tree() -> base.Estimator:
    return preprocessing.StandardScaler() | tree.HoeffdingTreeRegressor()


def _boosted() -> base.Estimator:
    return BoostedRefit(every=67_000, first=5_000)  # 9,600 payments a day: every week


def _hoeffding() -> base.Estimator:
    return tree.HoeffdingTreeClassifier(max_share_to_split=1.0)  # river's 0.99 never splits on a rare class


ZOO = {
    "zero": Entry("baseline", Zero, "no change: the next return is zero"),
    "mean": Entry("baseline", RunningMean, "the mean of all answers so far"),
    "ar1": Entry("baseline", AR1, "a line through the last known return, exact after every answer"),
    "majority": Entry("baseline", Majority, "the share of true answers so far, the same for every question"),
    "rls": Entry("linear", _recursive, "recursive least squares, ridge 100, forgetting 0.999: old answers fade"),
    "rls_all": Entry("linear", lambda: _recursive(1.0), "the same without forgetting: the exact ridge of all answers"),
    "sgd": Entry("linear", _descent, "river's linear regression, stochastic gradient descent at rate 0.0003"),
    "logistic": Entry("linear", _logistic, "river's logistic regression, stochastic gradient descent at rate 0.005"),
    "recursive_logistic": Entry(
        "linear", _recursive_logistic, "logistic regression of second order, forgetting 0.99999: rare classes from few"
    ),
    "calibrated_logistic": Entry(
        "linear", lambda: Calibrate(_recursive_logistic()), "the same, its probabilities corrected by the answers"
    ),
    "tree": Entry("tree", _tree, "river's Hoeffding tree regressor"),
    "hoeffding": Entry("tree", _hoeffding, "river's Hoeffding tree for two classes, which splits on rare ones too"),
    "forest": Entry("tree", AdaptiveRandomForest, "ten Hoeffding trees, each replaced when it becomes worse"),
    "boosted_weekly": Entry(
        "refit",
        _boosted,
        "boosted trees, refitted from scratch on all answers: at 5,000, when they double, then every 67,000",
    ),
    "calibrated_forest": Entry(
        "tree", lambda: Calibrate(AdaptiveRandomForest()), "the forest, its probabilities corrected by the answers"
    ),
    "ridge_hourly": Entry("refit", RidgeRefit, "a ridge fitted again from scratch every 360 answers on all so far"),
    "ridge_once": Entry("refit", lambda: RidgeRefit(every=720, fits=1), "a ridge fitted once, after 720 answers"),
}


def build(name: str) -> base.Estimator:
    """A fresh model of the zoo, or a ranking of :data:`rtml.models.ranking.RANKINGS`.

    Examples
    --------
    >>> build("rls")["RecursiveLeastSquares"].ridge
    100.0
    """
    if name in RANKINGS:
        return RANKINGS[name]
    if name not in ZOO:
        raise LookupError(f"no model {name!r} in the zoo; there are: {', '.join(ZOO)}")
    return ZOO[name].build()


def catalogue() -> pd.DataFrame:
    """The zoo as a table: name, kind, meaning.

    Examples
    --------
    >>> list(catalogue()["name"])[:3]
    ['zero', 'mean', 'ar1']
    """
    return pd.DataFrame([(name, entry.kind, entry.meaning) for name, entry in ZOO.items()], columns=_COLUMNS)


_COLUMNS = ["name", "kind", "meaning"]
