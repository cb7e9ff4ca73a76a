"""The search: the same bits however a stream is cut, races by rule, better than the blend where the law drifts."""

import numpy as np
import pytest
from driver import Driver, bits, check_cutting
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import NAMES, cuts, stream, streams

from rtml.core.clock import NEVER
from rtml.models import search
from rtml.models.blend import CompiledBlend
from rtml.models.compiled import compile, restore
from rtml.models.search import CompiledSearch, Search

SMALL = {"random": 0, "outside": 3}


@pytest.fixture
def short(monkeypatch):
    """Races every 16 answers over the last 24."""
    monkeypatch.setattr(search, "RING", 24)
    monkeypatch.setattr(search, "EVERY", 16)
    monkeypatch.setattr(search, "SLACK", 9.0)


def drifted(n, every=0, seed=0):
    """Answers by a line that turns round at every so many questions, each learned before the next."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    law = np.where(np.arange(n) // (every or n) % 2, -1.0, 1.0)
    q = stream(n)
    return type(q)(q.id, q.moment, X, law * X[:, 0] + 0.5 * rng.normal(size=n), q.moment + 1, q.names)


@pytest.mark.usefixtures("short")
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_any_cutting_gives_the_same_bits_as_one_by_one(data):
    q = data.draw(streams(False))
    check_cutting(lambda: CompiledSearch(NAMES, how=SMALL), q, data.draw(cuts(len(q))))


@pytest.mark.usefixtures("short")
def test_a_question_at_the_moment_of_the_answer_that_starts_a_race_comes_before_it():
    q, whole, live = stream(60), Driver(CompiledSearch(NAMES, how=SMALL)), Driver(CompiledSearch(NAMES, how=SMALL))
    assert (q.known[:-1] == q.moment[1:]).all()
    assert whole.replay(q, NEVER - 1).tobytes() == live.one_by_one(q).tobytes()
    assert bits(whole.model) == bits(live.model) and whole.model.outside


def test_where_the_law_turns_it_loses_less_than_the_blend_at_no_more_model_events():
    q = drifted(3000, every=750)
    late = slice(750, None)
    found = {}
    for model in (CompiledBlend(NAMES), CompiledSearch(NAMES)):
        found[type(model)] = ((Driver(model).replay(q, NEVER - 1)[:, 0] - q.y)[late] ** 2).mean()
    assert found[CompiledSearch] < 0.98 * found[CompiledBlend]
    fixed = {kind: sum("outside" not in name for name in kind(NAMES).members) for kind in found}
    laps = search.RACERS * search.RING // 4 + search.RACERS // 2 * search.RING // 4 + search.RING // 2
    spent = sum("outside" in name for name in CompiledSearch(NAMES).members) + laps / search.EVERY
    assert fixed[CompiledSearch] + spent <= fixed[CompiledBlend]
    assert (model.ledger["rows"].groupby(model.ledger["answers"]).sum().iloc[2:] == laps).all()


def test_where_nothing_changes_it_loses_nothing():
    q = drifted(1500, seed=1)
    losses = [(Driver(kind(NAMES)).replay(q, NEVER - 1)[:, 0] - q.y) ** 2 for kind in (CompiledSearch, CompiledBlend)]
    assert losses[0].mean() < 1.002 * losses[1].mean()


@pytest.mark.usefixtures("short")
def test_a_race_is_won_by_the_one_that_lost_least_and_the_ledger_says_so():
    q, model = drifted(400, every=100), CompiledSearch(NAMES, how=SMALL)
    Driver(model).replay(q, NEVER - 1)
    table = model.ledger
    assert table["answers"].unique().tolist() == list(range(16, 401, 16)) and len(table) == 25 * search.RACERS
    assert table.loc[table["answers"] > 16, "rows"].isin([6, 12, 24]).all()
    for _, race in table.groupby("answers"):
        last = race[race["outcome"] != search.DROPPED]
        assert len(last) == 1 and last["rows"].item() == race["rows"].max()
        assert (race["rows"].value_counts().sort_index() == [3, 2, 1]).all()
    joined = table[table["outcome"] == search.JOINED]
    assert 3 < len(joined) < 25
    assert {name.split()[-1] for _, (name, *_) in model.outside.items()} <= set(joined["answers"].astype(str))
    winner = joined.iloc[-1]
    settings = winner[["descent", "forgetting or rate", "ridge", "clip", "subset"]].to_numpy(float)
    fresh = model._model(settings)
    at, rows = int(winner["answers"]), slice(int(winner["answers"]) - 24, int(winner["answers"]))
    lost = []
    for x, y in zip(q.X[rows], q.y[rows], strict=True):  # replayed by hand: asked, then told
        lost.append((fresh.predict(x) - y) ** 2)
        fresh.learn(x, y)
    assert winner["loss"] == pytest.approx(np.mean(lost[12:]))
    then = CompiledSearch(NAMES, how=SMALL)
    Driver(then).replay(q[:at], NEVER - 1)
    place = int(np.flatnonzero((then._slots == settings).all(axis=1))[0])
    column = np.roll(then._ring[:, len(NAMES) + 2 + place], -(at % 24))
    assert column == pytest.approx(np.array(lost)), "it is judged by what it lost in the race until it has said more"


@pytest.mark.usefixtures("short")
def test_what_a_member_said_is_not_held_against_the_one_in_its_place():
    model = CompiledSearch(NAMES, how=SMALL)
    Driver(model).replay(drifted(64), NEVER - 1)
    place = next(iter(model.outside))
    model._born[place] = 500
    kept = np.ones((3, 1 + model.memory))
    awake = model._awake(kept, np.array([499, 500, 501]))
    column = awake[:, 1 + model._first + place]
    assert np.isnan(column).tolist() == [True, True, False] and kept.all()
    assert np.isnan(awake).sum() == 2


@pytest.mark.usefixtures("short")
def test_the_river_model_is_its_compiled_twin_and_goes_on_where_it_was():
    q, model, twin = drifted(80), Search(**SMALL), compile(Search(**SMALL), sorted(NAMES))
    X = q.X[:, [NAMES.index(name) for name in sorted(NAMES)]]
    for raw, x, y in zip(q.X, X, q.y, strict=True):
        row = dict(zip(NAMES, raw.tolist(), strict=True))
        assert model.predict_one(row) == twin.predict(x)
        model.learn_one(row, y)
        twin.learn(x, y)
    assert compile(model, sorted(NAMES)).predict(X[0]) == twin.predict(X[0]) == restore(twin.state).predict(X[0])
    assert twin.describe() == "Search(19 members, 3 of them searched for)" and len(twin.ledger) == 30
    part = twin._model(np.array([0.0, 0.99, 1.0, 8.0, 3.0]))
    part.learn(X[0], 1.0)
    assert 0 < len(part.model.names) < 4 and restore(part.state).predict(X[1]) == part.predict(X[1])
    assert part.describe().endswith(f" of {', '.join(part.model.names)}")
