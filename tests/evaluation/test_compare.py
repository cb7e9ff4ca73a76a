"""Evaluation: models side by side, held against sums written out by hand."""

import numpy as np
import pytest

from rtml.core.questions import Questions
from rtml.core.target import Target
from rtml.evaluation.compare import evaluate, weights_over_time
from rtml.metrics import metrics


def questions(n=1200, target="return", steps=1, seed=0):
    r = np.random.default_rng(seed)
    X = r.normal(size=(n, 3))
    y = 0.5 * X[:, 1] + r.normal(size=n)
    y[r.random(n) < 0.05] = np.nan
    y = {"return": y, "sign": metrics.sign_labels(y), "volatility": np.abs(y)}[target]
    moment = np.arange(n) * 10
    return Questions(moment, moment, X, y, moment + 10 * steps, ("return_1", "imbalance_1", "x"))


def test_the_table_holds_what_the_metrics_give():
    e = evaluate(["zero", "rls"], questions())
    y, p = e.questions.y, e.predictions("rls")
    known = np.isfinite(y)
    row = e.table().loc["rls"]
    assert row["r2_zero"] == pytest.approx(1 - ((y - p)[known] ** 2).sum() / (y[known] ** 2).sum())
    assert row["answered"] == known.sum() == row["samples"] and row["coverage"] == known.mean()
    assert e.table().loc["zero", "r2_zero"] == 0 and e.table().loc["zero", "hit_rate"] == 0.5
    later = evaluate(["rls"], questions()).table(since=600).loc["rls"]
    assert later["rmse"] == pytest.approx(np.sqrt(np.nanmean((y - p)[600:] ** 2)))


def test_the_log_loss_of_a_sign_is_that_of_the_metrics():
    e = evaluate(["majority", "logistic"], questions(target="sign"), Target("sign", "probability"))
    assert np.nanmean(e.loss("logistic")) == pytest.approx(metrics.log_loss(e.questions.y, e.predictions("logistic")))
    assert e.table().loc["logistic", "auc"] > 0.6


def test_the_volatility_is_held_against_the_running_mean():
    e = evaluate(["mean", "rls"], questions(target="volatility"), "volatility")
    assert e.table().loc["mean", "r2_mean"] == 0
    assert e.table(since=600).loc["mean", "r2_mean"] == 0


def test_a_better_model_is_found_and_an_equal_one_is_not():
    e = evaluate(["zero", "rls"], questions())
    assert e.compare("rls", "zero").better == "rls"
    assert list(e.comparisons("rls").index) == ["zero"]
    same = evaluate(["zero", "ar1"], questions())
    assert same.compare("ar1", "zero").better in ("", "zero")


def test_cutting_limits_what_one_huge_move_can_do():
    q = questions()
    q.y[700] = 1e4
    e = evaluate(["zero", "rls"], q)
    assert np.nanmax(e.loss("zero", cut=20.0)) <= 1600


def test_overlapping_answers_are_counted_in_blocks():
    near, far = (evaluate(["zero", "rls"], questions(steps=k)) for k in (1, 6))
    assert near.questions.overlap == 1 and far.questions.overlap == 6


def test_weights_end_where_the_whole_run_ends():
    q = questions()
    final = evaluate(["rls"], q).progress["rls"].learner
    moving = weights_over_time("rls", q, every=100)
    assert len(moving) == 12
    assert moving["imbalance_1"].iloc[-1] == pytest.approx(final.model.weights["imbalance_1"], rel=0.02)


def test_a_refit_counts_every_sample_again():
    row = evaluate(["ridge_hourly", "ridge_once"], questions()).table()["samples"]
    assert row["ridge_hourly"] == 360 + 720 + 1080 and row["ridge_once"] == 720


def test_an_unknown_model_is_said():
    with pytest.raises(LookupError, match="no model 'forest' was evaluated; there are: zero"):
        evaluate(["zero"], questions()).predictions("forest")
