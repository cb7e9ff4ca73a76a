"""Models by name, ready to learn: those of the package, and any of your own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from river import base

from rtml.core.later import pd
from rtml.core.plugin import load
from rtml.core.use_case import models_of_use_cases
from rtml.models.baselines import AR1, LastAnswer, Majority, NoChange, RidgeRefit, RunningMean, Zero
from rtml.models.blend import Blend, BlendClassifier
from rtml.models.boosted import BoostedRefit
from rtml.models.calibrated import Calibrate
from rtml.models.clip import Clip
from rtml.models.compiled import compile
from rtml.models.echo_state import EchoState
from rtml.models.forest import AdaptiveRandomForest
from rtml.models.parts import anomaly, linear_model, optim, preprocessing, tree
from rtml.models.recursive_logistic import RecursiveLogistic
from rtml.models.rls import RecursiveLeastSquares
from rtml.models.search import Search


class Entry(NamedTuple):
    """A model of the catalogue.

    Examples
    --------
    >>> entry = Entry("number", lambda: linear_model.LinearRegression(), "a line by descent")
    >>> type(entry.build()).__name__, entry.kind
    ('LinearRegression', 'number')
    """

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


def _half_space_trees() -> base.Estimator:
    return preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(n_trees=25, seed=7)


ZOO = {
    "zero": Entry("baseline", Zero, "no change: the next return is zero"),
    "mean": Entry("baseline", RunningMean, "the mean of all answers so far"),
    "ar1": Entry("baseline", AR1, "a line through the last known return, exact after every answer"),
    "last": Entry("baseline", LastAnswer, "the last answer learned"),
    "majority": Entry("baseline", Majority, "the shares of the classes so far, the same for every question"),
    "no_change": Entry("baseline", NoChange, "the class of the last answer, with the probability that it stays"),
    "rls": Entry("linear", _recursive, "recursive least squares, ridge 100, forgetting 0.999: old answers fade"),
    "rls_all": Entry("linear", lambda: _recursive(1.0), "the same without forgetting: the exact ridge of all answers"),
    "sgd": Entry("linear", _descent, "river's linear regression, stochastic gradient descent at rate 0.0003"),
    "logistic": Entry("linear", _logistic, "river's logistic regression, stochastic gradient descent at rate 0.005"),
    "recursive_logistic": Entry(
        "linear",
        _recursive_logistic,
        "logistic (softmax) regression of second order, forgetting 0.99999: rare classes from few",
    ),
    "calibrated_logistic": Entry(
        "linear", lambda: Calibrate(_recursive_logistic()), "the same, its probabilities corrected by the answers"
    ),
    "blend": Entry("blend", Blend, "a mixture of 35 learners of a number, weighed by how well each predicted lately"),
    "blend_probability": Entry("blend", BlendClassifier, "the same of a probability, or of each of many classes"),
    "search": Entry("blend", Search, "a smaller blend with members searched for while the stream goes on"),
    "tree": Entry("tree", _tree, "river's Hoeffding tree regressor"),
    "hoeffding": Entry("tree", _hoeffding, "river's Hoeffding tree, which splits on rare classes too"),
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
    "echo_state": Entry("memory", EchoState, "an echo-state network: linear in a memory of what came before"),
    "half_space_trees": Entry(
        "anomaly", _half_space_trees, "25 half-space trees: how few of the last 250 rows are near; needs no labels"
    ),
}


def build(name: Any, names: Sequence[str] | None = None, classes: Sequence[str | int] = ()) -> Any:
    """A fresh model, by its name in the catalogue, by where your own is defined, or from an object.

    Parameters
    ----------
    name
        A name of the catalogue; ``module:attribute`` or ``path/to/file.py:attribute``; an entry point of the group
        ``rtml.models``; or a model itself: of river, with ``partial_fit``, with ``fit`` and ``predict``, or with
        ``learn`` and ``predict`` (see :func:`rtml.models.compiled.compile`). A class or function is called.
    names
        Names of the features, in the order of their columns: the result is a row model. Without, it is the model as
        it was made.
    classes
        Names of the classes of which each is to have a probability, in the order of their numbers.

    Examples
    --------
    >>> build("rls")["RecursiveLeastSquares"].ridge
    100.0
    >>> build("forest", ["a", "b"], classes=["low", "middle", "high"]).predict([0.0, 1.0]).round(2)
    array([0.33, 0.33, 0.33])
    >>> from river import naive_bayes
    >>> build(naive_bayes.GaussianNB(), ["a"], classes=["x", "y", "z"]).kind
    'river'
    """
    known = {name: entry.build for name, entry in ZOO.items()}
    known |= models_of_use_cases()
    made = load(name, known, "models") if isinstance(name, str) else name
    if isinstance(made, type) or not any(hasattr(made, does) for does in _A_MODEL):
        made = _called(made, name)
    return made if names is None else compile(made, names, classes)


#: What a model has one of: a row model, one that makes one, a river model.
_A_MODEL = ("predict", "row_model", "learn_one")


def _called(make: Any, name: Any) -> Any:
    if not callable(make):
        raise TypeError(f"{name!r} is no model and makes none, got {type(make).__name__}: give a class or a function")
    return make()


def catalogue(names: Sequence[str] = ()) -> pd.DataFrame:
    """The models of the package as a table: name, kind, meaning.

    With ``names`` only those, in their order, as notebooks name them: ``pooled`` and ``guarded`` before a name and a
    schedule behind it are understood, and what is not of the package is ``own``.

    Examples
    --------
    >>> list(catalogue()["name"])[:3]
    ['zero', 'mean', 'ar1']
    >>> catalogue(["pooled rls", "guarded blend: stateful every 1h", "mine.py:Model"])["kind"].tolist()
    ['linear', 'blend', 'own']
    """
    own = Entry("own", None, "a model of one's own")
    rows = [(name, ZOO.get(name.partition(":")[0].rpartition(" ")[2], own)) for name in names or ZOO]
    return pd.DataFrame([(name, entry.kind, entry.meaning) for name, entry in rows], columns=_COLUMNS)


_COLUMNS = ["name", "kind", "meaning"]
