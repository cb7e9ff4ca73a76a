"""The seeded town: its fraud is known, follows its declared patterns, and is told late."""

import numpy as np
import pandas as pd
import pytest

from rtml.core.clock import NEVER, span
from rtml.usecases.fraud.schema import LABEL, PAYMENT, PAYMENTS
from rtml.usecases.fraud.synthetic_cards import COMPROMISED, PATTERNS, START, Cards


@pytest.fixture(scope="module")
def town():
    return Cards(seed=3, days=60, cards=300, terminals=500)


@pytest.fixture(scope="module")
def accepted(town):
    return np.concatenate([PAYMENTS.accept(frame)[0] for frame in town.chunks(20_000)])


def test_the_same_seed_gives_the_same_rows_and_another_one_others(town):
    whole = pd.concat(town.chunks())
    again = pd.concat(Cards(seed=3, days=60, cards=300, terminals=500).chunks(777))
    assert whole.astype(str).to_numpy().tolist() == again.astype(str).to_numpy().tolist()
    assert len(Cards(seed=4, days=60, cards=300, terminals=500).truth()) != len(town.truth())


def test_every_payment_and_label_of_the_truth_is_in_the_stream(town, accepted):
    truth, paid = town.truth(), accepted[accepted["kind"] == PAYMENT]
    paid = np.sort(paid, order="id")
    for name in ("id", "time", "card", "terminal", "amount"):
        assert paid[name].tolist() == truth[name].tolist(), name
    first = pd.DataFrame(accepted[accepted["kind"] == LABEL]).drop_duplicates("id").set_index("id").sort_index()
    told = truth[truth["known"] < NEVER].set_index("id")
    assert first["time"].tolist() == told["known"].tolist()
    assert first["label"].tolist() == told["fraud"].astype(int).tolist()


def test_rows_arrive_in_order_except_for_a_few_late_payments(accepted):
    late = np.diff(accepted["time"]) < 0
    assert 0 < late.mean() < 0.01
    assert (accepted["kind"][1:][late] == PAYMENT).all()


def test_labels_come_days_later_and_some_never(town):
    truth = town.truth()
    told = truth[truth["known"] < NEVER]
    waited = (told["known"] - told["time"]) / span("1d")
    assert 4 < waited.median() < 6 and waited.min() > 0.9 and waited.max() < 26
    assert 0.05 < 1 - len(told) / len(truth) < 0.11


def test_fraud_is_rare_and_each_pattern_looks_as_declared(town):
    truth = town.truth()
    assert 0.005 < truth["fraud"].mean() < 0.015
    assert set(truth["pattern"]) == {"", *PATTERNS}
    assert (truth["fraud"] == (truth["pattern"] != "")).all()
    of = dict(list(truth.groupby("pattern")))
    assert of["dear"]["amount"].min() >= 14_000
    assert of["burst"]["time"].min() >= START + town.days / 2 * span("1d")
    assert of["burst"]["amount"].max() <= 1500
    usual = of[""].groupby("card")["amount"].mean()
    assert (of["leak"]["amount"] / of["leak"]["card"].map(usual)).median() > 2.5


def test_spells_say_when_and_where(town):
    truth, drift = town.truth(), town.drift()
    for spell in drift[drift["pattern"] == "terminal"].itertuples():
        there = truth[(truth["terminal"] == spell.who) & truth["time"].between(spell.begins, spell.ends - 1)]
        if len(there) > 30:
            assert abs(there["fraud"].mean() - COMPROMISED) < 0.3
    frauds = truth[truth["pattern"] == "terminal"]
    spells = drift[drift["pattern"] == "terminal"]
    for fraud in frauds.itertuples():
        own = spells[
            (spells["who"] == fraud.terminal) & (spells["begins"] <= fraud.time) & (spells["ends"] > fraud.time)
        ]
        assert len(own)


def test_fraudsters_learn_to_stay_below(town):
    dear = town.truth().query("pattern == 'dear'")
    late = dear["time"] >= START + int(2 * town.days / 3) * span("1d")
    assert dear[~late]["amount"].min() >= 22_000 > dear[late]["amount"].min()


def test_broken_rows_are_there_and_are_rejected_with_their_reasons(town):
    rejected = pd.concat([PAYMENTS.accept(frame)[1] for frame in town.chunks()])
    assert rejected["reason"].nunique() == 5
    assert 5 <= len(rejected) < 0.005 * town.rows


@pytest.mark.parametrize(("wrong", "said"), [({"days": 0.5}, "days must lie"), ({"cards": 3}, "at least 10 cards")])
def test_a_town_that_cannot_be_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        Cards(**wrong)
