"""A planted feature helps, noise does not, and what is said is the difference of two replays."""

import numpy as np
import pytest

from rtml.core.questions import Questions
from rtml.evaluation.ablation import features_that_help, helps, without
from rtml.evaluation.progressive import progressive
from rtml.models import catalogue as zoo


@pytest.fixture(scope="module")
def asked():
    r = np.random.default_rng(5)
    X, at = r.normal(size=(4000, 4)), np.arange(4000, dtype=np.int64) * 10
    y = X @ [1.0, 0.5, 0.0, 0.0] + r.normal(size=4000)
    return Questions(np.arange(4000), at, X, y, at + 25, ("strong", "weak", "noise", "other"))


def test_planted_features_help_and_noise_is_not_settled(asked):
    found = features_that_help(asked)
    assert list(found.index[:2]) == ["strong", "weak"]
    assert (found["low"].to_numpy()[:2] > 0).all() and (found["low"].to_numpy()[2:] < 0).all()
    assert found["verdict"].iloc[0].startswith("strong helps: without it the squared error is ")


def test_the_difference_is_that_of_two_replays(asked):
    found = helps(["strong", "weak"], asked, since=500)
    y = asked.y
    lost = [
        np.mean((y - progressive(zoo.build("rls"), q).predictions)[500:] ** 2)
        for q in (without(asked, ["strong", "weak"]), asked)
    ]
    assert found.without == pytest.approx(lost[0]) and found.with_them == pytest.approx(lost[1])
    assert found.comparison.mean == pytest.approx(lost[0] - lost[1], rel=0.01)


def test_a_classifier_is_judged_by_its_log_loss(asked):
    signs = Questions(asked.id, asked.moment, asked.X, (asked.y > 0).astype(float), asked.known, asked.names)
    assert "log loss" in helps("strong", signs, "logistic").verdict


def test_an_unknown_feature_is_said(asked):
    with pytest.raises(LookupError, match="no feature 'spread'; there are: strong, weak, noise, other"):
        helps("spread", asked)
    with pytest.raises(ValueError, match="nothing is left without these features"):
        helps(asked.names, asked)
