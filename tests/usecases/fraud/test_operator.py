"""The checkout: what is asked is what was known, whatever the chunks, and no label works before it arrived."""

from itertools import pairwise

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.core.clock import span
from rtml.core.operator import Leak
from rtml.core.state import dumps, loads
from rtml.evaluation.leakage import audit
from rtml.models import catalogue as zoo
from rtml.training.flow import Flow
from rtml.training.learner import Learner
from rtml.usecases.fraud import use_case as fraud
from rtml.usecases.fraud.operator import Checkout, Views
from rtml.usecases.fraud.schema import LABEL, PAYMENT, PAYMENTS, events
from rtml.usecases.fraud.synthetic_cards import Cards

DAY, HOUR = span("1d"), span("1h")
T0 = 19_000 * DAY


@pytest.fixture(scope="module")
def stream():
    """Three weeks in which everything happens: late payments, labels twice, turned or never."""
    frames = Cards(seed=5, days=21, cards=60, terminals=40, delay="2d").chunks()
    return np.concatenate([PAYMENTS.accept(frame)[0] for frame in frames])


@pytest.fixture(scope="module")
def asked(stream):
    return fraud.operator().push(stream)


def heard(stream):
    """The stream in the order in which it counts: payments at the time they were heard of, first verdicts only."""
    frame = pd.DataFrame(stream)
    frame["time"] = np.maximum.accumulate(frame["time"])
    paid = frame[frame["kind"] == PAYMENT].drop(columns="label").reset_index(drop=True)
    told = frame[frame["kind"] == LABEL].drop_duplicates("id").reset_index(drop=True)
    return paid, told


def test_every_payment_asks_once_with_its_id_and_moment(stream, asked):
    paid, _ = heard(stream)
    assert asked.id.tolist() == paid["id"].tolist()
    assert asked.moment.tolist() == paid["time"].tolist()
    assert (np.diff(asked.moment) >= 0).all() and (np.diff(asked.known) >= 0).all()


def test_the_first_verdict_answers_when_it_arrived(stream, asked):
    _, told = heard(stream)
    last = stream["time"].max()
    told = told[told["time"] < last]
    got = pd.DataFrame({"id": asked.answered, "y": asked.y, "known": asked.known}).dropna().set_index("id")
    assert got["y"].to_dict() == told.set_index("id")["label"].astype(float).to_dict()
    assert got["known"].to_dict() == told.set_index("id")["time"].to_dict()


def test_card_windows_equal_pandas(stream, asked):
    paid, _ = heard(stream)
    X = pd.DataFrame(asked.X, columns=list(fraud.operator().features.names))
    paid["euro"], paid["at"] = paid["amount"] / 100, pd.to_datetime(paid["time"], utc=True)
    for w in fraud.WINDOWS:
        for how, scale in (("count", float), ("sum", float), ("mean", float), ("max", lambda v: np.log(v + 1))):
            want = np.empty(len(paid))
            for _, own in paid.groupby("card"):
                want[own.index] = getattr(own.set_index("at")["euro"].rolling(pd.Timedelta(span(w))), how)().to_numpy()
            np.testing.assert_allclose(X[f"card_{how}_{w}"], scale(want) if how == "max" else want, rtol=1e-9)


def test_terminal_counts_and_shares_of_fraud_equal_duckdb(stream, asked):
    paid, told = heard(stream)
    told = told[told["id"].isin(paid["id"])]
    X = pd.DataFrame(asked.X, columns=list(fraud.operator().features.names))
    paid["place"] = np.arange(len(paid))
    for key in ("card", "terminal"):
        for w in fraud.WINDOWS:
            want = duckdb.sql(f"""
                select p.place, count(t.id) as n, coalesce(sum(t.label), 0) as frauds
                from paid p left join told t
                    on t.{key} = p.{key} and t.time < p.time and t.time > p.time - {span(w)}
                group by p.place order by p.place
            """).df()
            share = (want["frauds"] + fraud.PRIOR * fraud.WEIGHT) / (want["n"] + fraud.WEIGHT)
            np.testing.assert_allclose(X[f"{key}_risk_{w}"], share, rtol=1e-12)
    for w in fraud.WINDOWS:
        want = duckdb.sql(f"""
            select p.place, count(*) as n from paid p join paid q
                on q.terminal = p.terminal and q.place <= p.place and q.time > p.time - {span(w)}
            group by p.place order by p.place
        """).df()
        assert X[f"terminal_count_{w}"].tolist() == want["n"].tolist()


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(0, 2500), max_size=6), seed=st.integers(0, 3))
def test_any_cutting_gives_the_same_questions_answers_and_state(cuts, seed):
    stream = crowded(seed)
    whole, parts = fraud.operator(), fraud.operator()
    once = whole.push(stream)
    edges = [0, *sorted(cuts), len(stream)]
    pieces = [parts.push(stream[a:b]) for a, b in pairwise(edges)]
    for name in ("id", "moment", "X", "answered", "y", "known"):
        assert np.concatenate([getattr(p, name) for p in pieces]).tobytes() == getattr(once, name).tobytes(), name
    assert dumps(whole.state) == dumps(parts.state)


def crowded(seed, n=2500):
    """Few cards, coarse times, so that many things happen at one moment; some rows late, repeated or unknown."""
    rng = np.random.default_rng(seed)
    time = T0 + np.sort(rng.integers(0, 4000, n)) * HOUR
    kind = (rng.random(n) < 0.5).astype(np.int8)
    id = np.where(kind == LABEL, rng.integers(0, n, n), np.arange(n))
    late = rng.random(n) < 0.05
    time[late] -= rng.integers(1, 50, late.sum()) * HOUR
    label = np.where(kind == LABEL, rng.integers(0, 2, n), -1)
    id[rng.random(n) < 0.01] = 5
    shape = {"card": rng.integers(0, 6, n), "terminal": rng.integers(0, 4, n), "amount": rng.integers(0, 9999, n)}
    return events(time, kind=kind, id=id, label=label, **shape)


def test_one_event_at_a_time_gives_the_same_bits(stream):
    whole, live = fraud.operator(), fraud.operator()
    once = whole.push(stream[:1500])
    singles = [live.push(stream[i : i + 1]) for i in range(1500)]
    assert np.concatenate([s.X for s in singles]).tobytes() == once.X.tobytes()


def test_a_state_round_trip_in_mid_stream_changes_nothing(stream):
    straight, first, second = fraud.operator(), fraud.operator(), fraud.operator()
    half = len(stream) // 2
    straight.push(stream[:half])
    first.push(stream[:half])
    second.load(loads(dumps(first.state)))
    assert second.push(stream[half:]).X.tobytes() == straight.push(stream[half:]).X.tobytes()
    assert dumps(second.state) == dumps(straight.state)
    assert second.counts() == straight.counts()


def test_a_label_known_at_the_moment_of_a_payment_does_not_reach_it():
    paid = events([T0, T0 + DAY], id=[1, 2], card=1, terminal=1, amount=100)
    told = events([T0 + DAY], kind=LABEL, id=1, card=1, terminal=1, amount=100, label=1)
    operator = fraud.operator()
    risk = operator.features.names.index("terminal_risk_7d")
    asked = operator.push(np.concatenate([told[:0], paid[:1], told, paid[1:]]))  # the label stands first in the log
    assert asked.X[1, risk] == fraud.PRIOR and not len(asked.answered)
    later = operator.push(events([T0 + DAY + 1], id=3, card=1, terminal=1, amount=100))
    assert later.answered.tolist() == [1] and later.known.tolist() == [T0 + DAY]
    assert later.X[0, risk] == pytest.approx((1 + fraud.PRIOR * fraud.WEIGHT) / (1 + fraud.WEIGHT))


def test_a_late_payment_is_asked_when_it_is_heard_of():
    asked = fraud.operator().push(events([T0, T0 + HOUR, T0 + 1], id=[1, 2, 3], card=1, amount=100))
    assert asked.moment.tolist() == [T0, T0 + HOUR, T0 + HOUR]


def test_what_changes_nothing_is_counted():
    operator = fraud.operator()
    label = {"kind": LABEL, "card": 1, "terminal": 1, "amount": 100}
    operator.push(events([T0, T0 + 1], id=[1, 1], card=1, terminal=1, amount=100))
    asked = operator.push(events([T0 + 2, T0 + 3, T0 + 4, T0 + 5], id=[1, 1, 1, 9], label=[1, 1, 0, 1], **label))
    operator.push(events([T0 + 6], id=4, card=1, terminal=1, amount=100))
    assert operator.counts() == {
        "late": 0,
        "repeated_payment": 1,
        "unknown_label": 1,
        "repeated_label": 1,
        "contradicting_label": 1,
        "never_labelled": 0,
        "open": 1,
    }
    assert asked.answered.tolist() == [1] and asked.y.tolist() == [1.0]


def test_a_payment_without_a_label_is_closed_when_patience_ends_and_forgotten():
    operator = fraud.operator()
    operator.push(events([T0], id=1, card=1, amount=100))
    asked = operator.push(events([T0 + 46 * DAY], id=2, card=1, amount=100))
    assert asked.answered.tolist() == [1] and np.isnan(asked.y[0])
    assert asked.known.tolist() == [T0 + 45 * DAY]
    assert operator.counts()["never_labelled"] == 1 and operator.open == 1
    operator.push(events([T0 + 46 * DAY + 1, T0 + 47 * DAY], kind=LABEL, id=[1, 1], card=1, label=1))
    assert operator.counts()["unknown_label"] == 1


def test_memory_is_bounded_by_the_patience():
    operator, n = Checkout(fraud.features(), timeouts="1d"), 2000
    operator.push(events(T0 + np.arange(n) * HOUR, id=np.arange(n), card=np.arange(n) % 7, amount=100))
    assert operator.open <= 26 and len(operator.state["book"]) <= 26


def test_a_closed_window_is_empty_when_it_is_read():
    operator = fraud.operator()
    operator.push(events([T0], id=1, card=1, amount=5000))
    asked = operator.push(events([T0 + 3 * DAY], id=2, card=1, amount=100))
    spent = dict(zip(operator.features.names, asked.X[0], strict=True))
    assert (spent["card_sum_24h"], spent["card_sum_7d"]) == (1.0, 51.0)


def test_two_views_may_not_have_features_of_one_name():
    with pytest.raises(ValueError, match="unique over all views"):
        Views(fraud.features() + fraud.features())


def flow_of(operator):
    return Flow(operator, {"fraud": Learner(zoo.build("logistic"), operator.features.names)}, fraud.use_case.targets)


def test_the_audit_holds_for_the_operator(stream):
    found = audit(lambda: flow_of(fraud.operator()), stream, cuts=8)
    assert "shares recounted" in found["checked"].iloc[0]


class KnowsLabelsAtOnce(Checkout):
    """The classic leak: a share of fraud that counts a payment's label when it was made, not when it was told."""

    def push(self, rows):
        verdicts = {
            id: label for id, label in zip(*(rows[rows["kind"] == LABEL][c] for c in ("id", "label")), strict=True)
        }
        paid = rows[rows["kind"] == PAYMENT]
        early = paid[np.isin(paid["id"], list(verdicts))].copy()
        early["kind"], early["label"] = LABEL, [verdicts[id] for id in early["id"].tolist()]
        early["time"] += 1
        mixed = np.concatenate([rows[rows["kind"] == PAYMENT], early])
        asked = super().push(mixed[np.lexsort((mixed["kind"], mixed["time"]))])
        known = dict(zip(*(rows[rows["kind"] == LABEL][c].tolist() for c in ("id", "time")), strict=True))
        late = np.array([known[id] for id in asked.answered.tolist()])
        order = np.argsort(late, kind="stable")
        return asked._replace(answered=asked.answered[order], y=asked.y[order], known=late[order])


class LabelsFirst(Checkout):
    """Lets a label in before a payment of the same moment."""

    def _in_order(self, rows):
        heard = np.maximum.accumulate(np.maximum(rows["time"], self._clock))
        rows = rows.copy()
        rows["time"], self._clock = heard, int(heard[-1])
        return rows[np.lexsort((-rows["kind"], heard))]


class LabelsFirstWhereTheyWaited(Checkout):
    """Keeps the labels of the newest moment back, but lets those of an earlier one in before its payments."""

    def _in_order(self, rows):
        rows = super()._in_order(rows)
        return rows[np.lexsort((-rows["kind"], rows["time"]))]


@pytest.mark.parametrize("mutant", [KnowsLabelsAtOnce, LabelsFirst, LabelsFirstWhereTheyWaited])
def test_a_share_that_sees_labels_too_early_is_caught(mutant, stream):
    coarse = stream.copy()
    coarse["time"] = (coarse["time"] // (6 * HOUR) + (coarse["kind"] == LABEL)) * 6 * HOUR
    coarse = coarse[np.argsort(coarse["time"], kind="stable")]
    with pytest.raises((Leak, ValueError)):
        audit(lambda: flow_of(mutant(fraud.features(), shares=fraud.SHARES)), coarse, cuts=8)


def test_an_answer_that_is_known_at_its_payment_is_a_leak(asked):
    moment = dict(zip(asked.id.tolist(), asked.moment.tolist(), strict=True))
    at_once = np.array([moment[id] for id in asked.answered.tolist()], np.int64)
    with pytest.raises(Leak, match=rf"the answer of payment {asked.answered[0]}, made at .*, is known at "):
        fraud.operator().check(asked._replace(known=at_once))
    assert fraud.operator().check(asked).endswith("shares recounted")
