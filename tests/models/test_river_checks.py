"""Every model of ours passes river's own checks: features emerge, disappear, come in any order, models are cloned."""

import sys
import types

import pytest
from river import checks

from rtml.models.baselines import AR1, Majority, NoChange, RidgeRefit
from rtml.models.boosted import BoostedRefit
from rtml.models.calibrated import Calibrate
from rtml.models.catalogue import ZOO
from rtml.models.clip import Clip
from rtml.models.forest import AdaptiveRandomForest
from rtml.models.recursive_logistic import RecursiveLogistic
from rtml.models.rls import RecursiveLeastSquares

OWN = {  # beside those of the catalogue, whose schedules are too long for the checks to see a fit
    "AR1 of one feature": lambda: AR1("ordinal_date"),
    "boosted": lambda: BoostedRefit(every=100, first=20, rounds=3),
    "calibrated majority": lambda: Calibrate(Majority()),
    "calibrated forest": lambda: Calibrate(AdaptiveRandomForest(3)),
    "clip": Clip,
    "forest of three": lambda: AdaptiveRandomForest(3, grace_period=10, delta=0.5, tau=0.9),
    "majority of three": lambda: Majority(("a", "b", "c")),
    "no change of three": lambda: NoChange(("a", "b", "c")),
    "recursive least squares": RecursiveLeastSquares,
    "recursive logistic": RecursiveLogistic,
    "ridge": lambda: RidgeRefit(every=50),
}
OF_RIVER = {"half_space_trees"}  # as it is, and its checks want a data set from the network
MODELS = OWN | {name: entry.build for name, entry in ZOO.items() if name not in OF_RIVER}


@pytest.fixture(autouse=True)
def without_sklearn(monkeypatch):
    """River's checks import scikit-learn for data sets that none of these models is given."""
    for name in ("sklearn", "sklearn.datasets"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["sklearn"].datasets = sys.modules["sklearn.datasets"]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_passes_rivers_checks(name):
    model, done = MODELS[name](), 0
    for check in checks.yield_checks(model):
        if check.__name__ not in model._unit_test_skips():
            check(model.clone())
            done += 1
    assert done >= 20


def test_a_model_that_minds_the_order_of_features_would_be_found():
    class Minds(RecursiveLeastSquares):
        def predict_one(self, x):
            return float(next(iter(x.values())))

    found = [check for check in checks.yield_checks(Minds()) if check.__name__ == "check_shuffle_features_no_impact"]
    with pytest.raises(AssertionError):
        found[0](Minds())
