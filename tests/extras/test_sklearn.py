"""Real scikit-learn estimators keep the contract of all models: ``partial_fit`` and a scheduled ``fit``."""

import pytest
from models.test_adapters import CLASSES
from models.test_adapters import test_any_model_keeps_the_contract as keeps_the_contract

pytest.importorskip("sklearn", reason="scikit-learn is not installed: it is not in the lock")
from sklearn import ensemble, impute, linear_model, pipeline
from sklearn.linear_model import SGDClassifier, SGDRegressor

from rtml.models.refit import Refit

BOOSTED = ensemble.HistGradientBoostingClassifier(max_iter=5)
FILLED = [("impute", impute.SimpleImputer(keep_empty_features=True)), ("ridge", linear_model.Ridge())]
NAMES = tuple("abcdefghij")


@pytest.mark.parametrize(
    ("make", "classes"),
    [
        (lambda: SGDRegressor(eta0=0.001), ()),
        (lambda: SGDClassifier(loss="log_loss"), CLASSES),
        (lambda: Refit(NAMES, pipeline.Pipeline(FILLED), every=50, first=10, window=100), ()),
        (
            lambda: Refit(NAMES, BOOSTED, CLASSES, every=100, first=60),
            CLASSES,
        ),
    ],
    ids=["partial_fit of a number", "partial_fit of classes", "a scheduled fit", "a scheduled fit of classes"],
)
@pytest.mark.filterwarnings("default")
def test_an_estimator_of_scikit_learn_keeps_the_contract(make, classes):
    keeps_the_contract(make, classes)
