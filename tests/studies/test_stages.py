"""Stages of online prediction: the same windows, read at different times, and what each costs."""

import numpy as np
import pytest
from stages import History, compare, freshness, live, sources, stored

from rtml.core.clock import span
from rtml.metrics.rare_class import average_precision
from rtml.usecases.fraud import use_case as fraud
from rtml.usecases.fraud.schema import PAYMENTS
from rtml.usecases.fraud.synthetic_cards import Cards

DAY = span("1d")


@pytest.fixture(scope="module")
def events():
    town = Cards(seed=5, days=40, cards=120, terminals=150, delay="3d")
    return np.concatenate([PAYMENTS.accept(frame)[0] for frame in town.chunks()])


@pytest.fixture(scope="module")
def history(events):
    return History.of(events)


@pytest.fixture(scope="module")
def compared(history):
    return compare(history)


@pytest.mark.parametrize("name", ["card payments", "terminal payments", "card labels", "terminal labels"])
@pytest.mark.parametrize("every", ["1d", "6h"])
def test_what_a_job_stored_for_all_keys_is_what_a_read_at_its_tick_gives(history, name, every):
    part = sources(history)[name]
    (table, cost), (read, _) = stored(part, history.asked.moment, every), live(part, history.asked.moment, every)
    assert table.tobytes() == read.tobytes()
    assert 0 < cost["used"] < cost["computed"]


def test_a_stored_value_knows_nothing_of_its_day(history):
    part = sources(history)["card payments"]
    names, at = part.features().names, history.asked.moment
    old, _ = stored(part, at, "1d")
    midnight = at // DAY * DAY
    for i in np.linspace(0, len(at) - 1, 60).astype(int):
        own = (history.card == history.card[i]) & (at < midnight[i]) & (at > midnight[i] - DAY)
        assert old[i, names.index("card_count_24h")] == own.sum()


def test_live_windows_are_those_of_the_use_case_without_the_payment_itself(history, events):
    part = sources(history)["card payments"]
    now, _ = live(part, history.asked.moment)
    asked = fraud.operator().push(events)
    column = list(fraud.operator().features.names).index("card_count_7d")
    assert (now[:, part.features().names.index("card_count_7d")] == asked.X[:, column] - 1).mean() > 0.99


def test_labels_of_the_very_moment_are_not_read(history):
    part = sources(history)["terminal labels"]
    column = part.features().names.index("terminal_risk_30d")
    late, _ = live(part, part.time)  # asked at the very moments at which labels arrive
    first = np.unique(part.of, return_index=True)[1]
    at_first = live(part.__class__(part.features, part.of, part.time, part.of, part.value), part.time)[0][first, column]
    assert len(late) and (at_first == fraud.PRIOR).all()


def test_fresher_is_better_and_cheaper_than_all_keys(history, compared):
    scored = np.isfinite(history.y) & (history.asked.moment > history.asked.moment[0] + 15 * DAY)
    found = {name: average_precision(history.y[scored], p[scored]) for name, p in compared.predictions.items()}
    assert found["streaming features"] > found["batch features"] > found["batch score of the card"]
    table = compared.table
    assert table.loc["streaming features", "age_h"] == 0 < table.loc["batch features", "age_h"] < 24
    assert (table["used"] <= table["computed"]).all()
    assert table.loc["batch features", "used"] < 0.9 * table.loc["batch features", "computed"]


def test_freshness_runs_from_stale_to_live(history, compared):
    said = freshness(history, ["1d", ""])
    assert list(said) == ["1d", "live"]
    assert said["live"].tobytes() == compared.predictions["streaming features"].tobytes()
    assert said["1d"].tobytes() == compared.predictions["batch features"].tobytes()
