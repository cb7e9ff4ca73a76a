"""Evaluation: models side by side, held against sums written out by hand."""

import numpy as np
import pytest

from rtml.core.clock import span
from rtml.core.questions import Questions
from rtml.core.target import Target
from rtml.evaluation.compare import evaluate, rolling_days, weights_over_time
from rtml.evaluation.progressive import progressive
from rtml.metrics import metrics
from rtml.metrics.rare_class import average_precision
from rtml.training.retraining.strategy import build

DAY = span("1d")


def questions(n=1200, target="return", steps=1, seed=0):
    r = np.random.default_rng(seed)
    X = r.normal(size=(n, 3))
    y = 0.5 * X[:, 1] + r.normal(size=n)
    y[r.random(n) < 0.05] = np.nan
    y = {"return": y, "sign": metrics.sign_labels(y), "volatility": np.abs(y)}[target]
    moment = np.arange(n) * 10
    return Questions(moment, moment, X, y, moment + 10 * steps, ("return_1", "imbalance_1", "x"))


RETURN = Target("return", change=True)


def test_the_table_holds_what_the_metrics_give():
    e = evaluate(["zero", "rls"], questions(), RETURN)
    y, p = e.questions.y, e.predictions("rls")
    known = np.isfinite(y)
    row = e.table().loc["rls"]
    assert row["r2_zero"] == pytest.approx(1 - ((y - p)[known] ** 2).sum() / (y[known] ** 2).sum())
    assert row["answered"] == known.sum() == row["samples"] and row["coverage"] == known.mean()
    assert e.table().loc["zero", "r2_zero"] == 0 and e.table().loc["zero", "hit_rate"] == 0.5
    later = e.part(slice(600, None)).table().loc["rls"]
    assert later["rmse"] == pytest.approx(np.sqrt(np.nanmean((y - p)[600:] ** 2)))


def test_the_log_loss_of_a_sign_is_that_of_the_metrics():
    e = evaluate(["majority", "logistic"], questions(target="sign"), Target("sign", "probability"))
    assert np.nanmean(e.loss("logistic")) == pytest.approx(metrics.log_loss(e.questions.y, e.predictions("logistic")))
    assert e.table().loc["logistic", "auc"] > 0.6


def test_the_volatility_is_held_against_the_running_mean():
    e = evaluate(["mean", "rls"], questions(target="volatility"), "volatility")
    assert e.table().loc["mean", "r2_mean"] == 0
    assert e.part(slice(600, None)).table().loc["mean", "r2_mean"] == 0


def test_a_better_model_is_found_and_an_equal_one_is_not():
    e = evaluate(["zero", "rls"], questions(), RETURN)
    assert e.compare("rls", "zero").better == "rls"
    assert list(e.comparisons("rls").index) == ["zero"]
    same = evaluate(["zero", "ar1"], questions(), RETURN)
    assert same.compare("ar1", "zero").better in ("", "zero")


def test_cutting_limits_what_one_huge_move_can_do():
    q = questions()
    q.y[700] = 1e4
    e = evaluate(["zero", "rls"], q, RETURN)
    assert np.nanmax(e.loss("zero", cut=20.0)) <= 1600


def test_overlapping_answers_are_counted_in_blocks():
    near, far = (evaluate(["zero", "rls"], questions(steps=k), RETURN) for k in (1, 6))
    assert near.questions.overlap == 1 and far.questions.overlap == 6


def test_weights_end_where_the_whole_run_ends():
    q = questions()
    final = progressive(build("rls", q.names), q).learner
    moving = weights_over_time("rls", q, every=100)
    assert len(moving) == 12
    assert moving["imbalance_1"].iloc[-1] == pytest.approx(final.model.weights["imbalance_1"], rel=0.02)


def test_a_refit_counts_every_sample_again():
    row = evaluate(["ridge_hourly", "ridge_once"], questions(), RETURN).table()["samples"]
    assert row["ridge_hourly"] == 360 + 720 + 1080 and row["ridge_once"] == 720


def test_an_unknown_model_is_said():
    with pytest.raises(LookupError, match="no model 'forest' was evaluated; there are: zero"):
        evaluate(["zero"], questions(), RETURN).predictions("forest")


def test_models_of_several_keys_count_the_answers_of_all_of_them():
    q = questions()
    X = np.column_stack([q.X, np.arange(len(q)) % 2])
    asked = Questions(q.id, q.moment, X, q.y, q.known, (*q.names, "key_number"))
    samples = evaluate(["rls", "pooled rls", "ridge_once", "pooled ridge_once"], asked, RETURN).table()["samples"]
    answers = int(np.isfinite(q.y).sum())
    assert samples["rls"] == samples["pooled rls"] == answers
    assert samples["ridge_once"] == 0 and samples["pooled ridge_once"] == 720  # a key alone never has 720 answers


def test_a_part_is_scored_alone_and_costs_what_the_whole_did():
    e = evaluate(["zero", "rls"], questions(), RETURN)
    rows = np.arange(1200) % 3 == 1
    part = e.part(rows)
    y, p = e.questions.y[rows], e.predictions("rls")[rows]
    assert part.table().loc["rls", "mae"] == pytest.approx(np.nanmean(np.abs(y - p)))
    assert part.table().loc["rls", "samples"] == e.table().loc["rls", "samples"]
    assert part.loss("rls").tobytes() == e.loss("rls")[rows].tobytes()


@pytest.fixture(scope="module")
def rare():
    """A classifier beside the base rate where one in thirty is 1, answers two days late; scored behind ten days."""
    rng = np.random.default_rng(3)
    n = 6000
    X = rng.standard_normal((n, 3))
    y = (rng.random(n) < 1 / (1 + np.exp(4 - 2 * X[:, 0]))).astype(float)
    y[::50] = np.nan
    moment = np.sort(rng.integers(0, 40 * DAY, n)) + 20_000 * DAY
    asked = Questions(np.arange(n), moment, X, y, moment + 2 * DAY, ("seen", "b", "c"))
    whole = evaluate(["majority", "logistic"], asked, Target("fraud", "probability"))
    return whole, whole.part(moment >= moment[0] + 10 * DAY)


def test_only_answered_questions_of_the_part_are_scored(rare):
    whole, scored = rare
    asked = whole.questions
    mask = (asked.moment >= asked.moment[0] + 10 * DAY) & ~np.isnan(asked.y)
    y, p, moment = scored.answered("logistic")
    assert len(y) == mask.sum() and (moment == asked.moment[mask]).all()
    again = progressive(build("logistic", asked.names), asked).predictions[mask]
    assert p.tobytes() == again.tobytes()
    row = scored.table().loc["logistic"]
    assert row["average_precision"] == average_precision(y, p)
    assert row["auc"] == pytest.approx(metrics.auc(y, p), rel=1e-12)
    assert row["brier"] == pytest.approx(metrics.brier(y, p))
    assert row["log_loss"] == pytest.approx(metrics.log_loss(y, p))
    assert row["samples"] == np.isfinite(asked.y).sum()


def test_the_better_ranking_is_found_with_an_interval_over_days(rare):
    found = rare[1].compare("logistic", "majority", metric="average_precision")
    assert found.better == "logistic" and found.low > 0
    assert found.verdict.startswith("logistic is better than majority: average precision")
    assert "n = 30 days" in found.verdict
    assert "not settled" in rare[1].compare("logistic", "logistic", metric="auc").verdict
    turned = rare[1].comparisons("majority", metric="average_precision")
    assert turned.loc["logistic", "better"] == "logistic" and turned.loc["logistic", "high"] == -found.low
    assert "logistic is better than majority" in turned.loc["logistic", "verdict"]


def test_intervals_hold_the_metric_and_random_scores_are_at_the_base_rate(rare):
    rows = rare[1].intervals("auc", "average_precision", "recall_at_1pct")
    assert (rows["average_precision_low"] <= rows["average_precision"]).all()
    assert (rows["auc_low"] <= rows["auc"]).all() and (rows["auc"] <= rows["auc_high"]).all()
    assert rows.loc["logistic", "recall_at_1pct"] > 0.1 > rows.loc["majority", "recall_at_1pct"]


def test_scores_by_days_see_the_days_up_to_each(rare):
    ends, value = rare[1].by_days(average_precision, 7)["logistic"]
    y, p, moment = rare[1].answered("logistic")
    inside = (moment < ends[3]) & (moment >= ends[3] - 7 * DAY)
    assert value[3] == average_precision(y[inside], p[inside])
    assert not len(rolling_days(average_precision, y[:0], p[:0], moment[:0])[0])
