"""A screening: models judged side by side on rare fraud, by what their alerts find."""

import numpy as np
import pytest

from rtml.core.clock import span
from rtml.core.questions import Questions
from rtml.evaluation.compare_rare import only, screen
from rtml.evaluation.progressive import progressive
from rtml.metrics import metrics
from rtml.metrics.rare_class import average_precision
from rtml.training.retraining.strategy import build

DAY = span("1d")


@pytest.fixture(scope="module")
def questions():
    rng = np.random.default_rng(3)
    n = 6000
    X = rng.standard_normal((n, 3))
    y = (rng.random(n) < 1 / (1 + np.exp(4 - 2 * X[:, 0]))).astype(float)
    y[::50] = np.nan
    moment = np.sort(rng.integers(0, 40 * DAY, n)) + 20_000 * DAY
    return Questions(np.arange(n), moment, X, y, moment + 2 * DAY, ("seen", "b", "c"))


@pytest.fixture(scope="module")
def screening(questions):
    return screen(["majority", "logistic"], questions, int(questions.moment[0] + 10 * DAY))


def test_only_answered_questions_behind_the_start_are_scored(questions, screening):
    scored = (questions.moment >= screening.since) & ~np.isnan(questions.y)
    y, p = screening.of("logistic")
    assert len(y) == scored.sum()
    again = progressive(build("logistic", questions.names), questions).predictions[scored]
    assert p.tobytes() == again.tobytes()
    row = screening.table().loc["logistic"]
    assert row["average_precision"] == average_precision(y, p) and row["auc"] == metrics.auc(y, p)
    assert row["samples"] == np.isfinite(questions.y).sum()


def test_the_better_model_is_told_with_an_interval(screening):
    verdict = screening.against("logistic", "majority")
    assert verdict["better"] == "logistic" and verdict["low"] > 0
    assert verdict["verdict"].startswith("logistic is better: average precision")
    assert "30 days resampled" in verdict["verdict"]
    rows = screening.intervals()
    assert (rows["average_precision_low"] <= rows["average_precision"]).all()
    assert "not settled" in screening.against("logistic", "logistic")["verdict"]
    assert "better than majority (+" in screening.verdict("logistic")
    assert "worse than logistic (-" in screening.verdict("majority")


def test_alerts_of_a_day_are_its_most_suspicious_payments(screening):
    y, p = screening.of("logistic")
    day = screening.questions.moment[screening.scored] // DAY
    daily = screening.alerts("logistic", 5)
    for row in daily.itertuples():
        own = day == row.day // DAY
        assert row.frauds == y[own].sum()
        assert row.found == y[own][np.argsort(-p[own], kind="stable")[:5]].sum()


def test_costs_begin_with_all_frauds_let_through(screening):
    amount = np.full(len(screening.questions), 40.0)
    share, cost = screening.costs("logistic", amount, review=1.0)
    y, _ = screening.of("logistic")
    assert share[0] == 0 and cost[0] == pytest.approx(40 * y.mean())
    assert share[-1] == 1 and cost[-1] == pytest.approx(1.0)
    assert cost.min() < cost[0]


def test_recall_and_precision_of_every_number_of_alerts(screening):
    recall, precision = screening.ranked("logistic")
    y, p = screening.of("logistic")
    top = np.argsort(-p, kind="stable")[:100]
    assert precision[99] == y[top].mean() and recall[99] == y[top].sum() / y.sum() and recall[-1] == 1


def test_what_is_found_of_each_pattern(screening):
    y = screening.questions.y
    pattern = np.where(y == 1, np.where(screening.questions.X[:, 0] > 1, "plain", "hidden"), "")
    found = screening.found(pattern, rate=0.05)
    assert list(found.columns) == ["hidden", "plain"]
    assert found.loc["logistic", "plain"] > 0.5 > found.loc["logistic", "hidden"]


def test_scores_over_time_see_the_days_up_to_each(screening):
    ends, value = screening.over_time(7)["logistic"]
    y, p = screening.of("logistic")
    moment = screening.questions.moment[screening.scored]
    inside = (moment < ends[3]) & (moment >= ends[3] - 7 * DAY)
    assert value[3] == average_precision(y[inside], p[inside])


def test_some_of_the_features(questions):
    fewer = only(questions, ["c", "seen"])
    assert fewer.names == ("c", "seen") and fewer.X[:, 1].tobytes() == questions.X[:, 0].tobytes()


def test_an_unknown_model_is_said(screening):
    with pytest.raises(LookupError, match=r"no model 'oracle' was screened; there are: majority, logistic"):
        screening.of("oracle")
