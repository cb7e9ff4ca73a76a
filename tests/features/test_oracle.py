"""Windows of every kind against two oracles, DuckDB's SQL and brute force, on streams with every trouble."""

import math
from functools import partial
from itertools import pairwise

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.core.state import dumps, loads
from rtml.features.feature_set import Feature, FeatureSet, column, constant, moment
from rtml.features.keys import partition

HOUR = 3600 * 10**9
START = 1_700_000_000 * 10**9
AGGREGATES = ("sum", "count", "mean", "var", "std", "min", "max", "first", "last", "distinct", "ewm")
WINDOWS = (("1h", "sliding"), ("5h", "sliding"), ("6h", "tumbling"), ("1d", "tumbling"), ("2h", "session"))
LATENESS = 3 * HOUR
COLUMNS = ["x", "y"]


def declared(kinds=WINDOWS, how=AGGREGATES):
    x = column("x")
    features = [
        Feature(f"{h}|{w}|{k}", x.over(w, h, kind=k), "", "", float("nan"))
        for w, k in kinds
        for h in how
        if h != "ewm" or w == "1h"
    ]
    some = x.where(column("y") > 2).over("5h", "sum")
    return features + [
        Feature("some", some, "", ""),
        Feature("since", moment() - moment().lag(1, within="30h"), "s", ""),
        Feature("nightly", x.over("5h", "sum").held("6h"), "", "", -1.0),
        Feature("share", x / x.over("5h", "mean").held("6h"), "", "", -1.0),
    ]


def stream(seed, n=150, late=True):
    """Bursts, ties, quiet keys, missing values, rows out of order, a few of them too late."""
    r = np.random.default_rng(seed)
    steps = r.integers(0, 2, n) * np.where(r.random(n) < 0.06, 90 * HOUR, r.integers(0, HOUR, n))
    time = START + np.cumsum(steps)
    if late:
        time -= (r.random(n) < 0.2) * r.integers(0, 4 * HOUR, n)
    rows = np.stack([r.integers(1, 6, n) * 0.25, r.integers(0, 5, n)], axis=1).astype(float)
    rows[r.random((n, 2)) < 0.1] = np.nan
    return time, rows, r.choice([7, 10**15, -3, 42], n, p=[0.6, 0.25, 0.1, 0.05])


def taken(time, key):
    """The stated rule in plain words: which rows are used, and at which moment each is taken."""
    newest, newest_of, used, at = -(2**62), {}, [], []
    for t, k in zip(time.tolist(), key.tolist(), strict=True):
        fine = t >= newest - LATENESS
        used.append(fine)
        at.append(max(t, newest_of.get(k, t), newest - LATENESS))
        if fine:
            newest, newest_of[k] = max(newest, t), at[-1]
    return np.array(used), np.array(at)


def inside(times, width, kind, at):
    """Which of a key's earlier rows (moments in order of arrival) are in a window at a moment."""
    times = np.asarray(times, np.int64)
    if kind == "sliding":
        return times > at - width
    if kind == "tumbling":
        return times >= at // width * width
    begins = 0
    for i, (a, b) in enumerate(pairwise([*times.tolist(), at])):
        if b - a >= width:
            begins = i + 1
    return np.arange(len(times)) >= begins


def by_definition(how, x, times, width, at):
    keep = np.isfinite(x)
    x, times = x[keep], times[keep]
    if how in ("sum", "count", "distinct"):
        return {"sum": math.fsum(x), "count": len(x), "distinct": len(set(x))}[how]
    if how == "ewm":
        weight = 0.5 ** ((at - times) / width)
        return (weight * x).sum() / weight.sum() if len(x) and weight.sum() >= 2.0**-64 else math.nan
    if not len(x) or (how in ("var", "std") and len(x) < 2):
        return math.nan
    plain = {"mean": np.mean, "min": np.min, "max": np.max, "first": lambda v: v[0], "last": lambda v: v[-1]}
    return (plain | {"var": lambda v: np.var(v, ddof=1), "std": lambda v: np.std(v, ddof=1)})[how](x)


def expected(name, time, x, key, used, at, i):
    """One windowed feature of row ``i`` from its definition."""
    how, window, kind = name.split("|")
    width = {"1h": HOUR, "2h": 2 * HOUR, "5h": 5 * HOUR, "6h": 6 * HOUR, "1d": 24 * HOUR}[window]
    own = np.flatnonzero((key[: i + 1] == key[i]) & used[: i + 1])
    if how != "ewm":
        own = own[inside(at[own], width, kind, at[i])] if len(own) else own
    return by_definition(how, x[own], at[own], width, at[i])


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_every_window_equals_brute_force_on_streams_with_every_trouble(seed):
    time, rows, key = stream(seed)
    features = FeatureSet(declared(), COLUMNS, lateness="3h")
    out = features.push(time, rows, key)
    used, at = taken(time, key)
    assert features.late == (~used).sum()
    for j, name in enumerate(features.names):
        if "|" in name:
            want = [expected(name, time, rows[:, 0], key, used, at, i) for i in range(len(time))]
            assert out[:, j] == pytest.approx(want, rel=1e-9, abs=1e-9, nan_ok=True), name


def test_windows_equal_those_of_sql():
    time, rows, key = stream(3, n=3000, late=False)
    time = time // 1000 * 1000  # DuckDB counts microseconds
    table = pd.DataFrame({"i": np.arange(len(time)), "us": time // 1000, "k": key, "x": rows[:, 0]})
    database = duckdb.connect()
    database.register("t", table)
    how = ("sum", "count", "mean", "var", "min", "max")
    features = FeatureSet(declared((("5h", "sliding"), ("1d", "tumbling")), how), COLUMNS)
    out = features.push(time, rows, key)
    sql = {"sum": "coalesce(sum(b.x), 0)", "count": "count(b.x)", "mean": "avg(b.x)", "var": "var_samp(b.x)"}
    sql |= {"min": "min(b.x)", "max": "max(b.x)"}
    limits = {
        "5h|sliding": f"b.us > a.us - {5 * HOUR // 1000}",
        "1d|tumbling": "b.us >= a.us // 86400000000 * 86400000000",
    }
    for window, limit in limits.items():
        wanted = ", ".join(f"{sql[h]}::double" for h in how)
        join = f"b.k = a.k and b.i <= a.i and b.us <= a.us and {limit}"
        known = "(select i, us, k, case when isnan(x) then null else x end x from t)"
        found = database.execute(
            f"select {wanted} from t a join {known} b on {join} group by a.i order by a.i"
        ).fetchall()
        want = np.array(found, float)
        for j, h in enumerate(how):
            got = out[:, features.names.index(f"{h}|{window}")]
            assert got == pytest.approx(want[:, j], rel=1e-9, abs=1e-9, nan_ok=True), f"{h} {window}"


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 150), max_size=12))
@settings(max_examples=25)
def test_any_cutting_gives_the_same_features_and_state_also_when_keys_are_forgotten(seed, cuts):
    time, rows, key = stream(seed)
    whole, cut = (FeatureSet(declared(), COLUMNS, lateness="3h") for _ in range(2))
    want = whole.push(time, rows, key)
    got = []
    for a, b in pairwise([0, *sorted(cuts), len(time)]):
        got.append(cut.push(time[a:b], rows[a:b], key[a:b]))
        cut._windows.sweep()
    assert np.concatenate(got).tobytes() == want.tobytes()
    assert dumps(cut.state) == dumps(whole.state)


@given(seed=st.integers(0, 10**6), at=st.integers(1, 149))
@settings(max_examples=25)
def test_a_state_goes_round_and_later_rows_and_reads_change_nothing(seed, at):
    time, rows, key = stream(seed)
    one, two, plain = (FeatureSet(declared(), COLUMNS, lateness="3h") for _ in range(3))
    want = plain.push(time, rows, key)
    assert one.push(time[:at], rows[:at], key[:at]).tobytes() == want[:at].tobytes()
    two.load(loads(dumps(one.state)))
    assert dumps(two.state) == dumps(one.state)
    one.read(np.full(6, time[:at].max() + 9 * HOUR), [7, 10**15, -3, 42, 5, 6])
    one.read(time[at:], key[at:], rows[at:], include=True)
    for features in (one, two):
        assert features.push(time[at:], rows[at:], key[at:]).tobytes() == want[at:].tobytes()
        assert dumps(features.state) == dumps(plain.state)


@given(seed=st.integers(0, 10**6), how=st.sampled_from([AGGREGATES, AGGREGATES[:-1]]))
@settings(max_examples=30)
def test_a_key_that_was_forgotten_and_came_back_is_as_if_it_had_never_been(seed, how):
    time, rows, key = stream(seed)
    plain, forgetful = (FeatureSet(declared(WINDOWS, how), COLUMNS, lateness=late) for late in ("900d", "3h"))
    used, _ = taken(time, key)
    time, rows, key = time[used], rows[used], key[used]
    want, got = plain.push(time, rows, key), []
    for i in range(len(time)):
        got.append(forgetful.push(time[i : i + 1], rows[i : i + 1], key[i : i + 1])[0])
        forgetful._windows.sweep()
    assert np.array(got).tobytes() == want.tobytes()


@given(seed=st.integers(0, 10**6), hours=st.integers(0, 60))
@settings(max_examples=25)
def test_a_read_is_what_a_row_with_nothing_in_it_would_be_answered(seed, hours):
    time, rows, key = stream(seed)
    read, pushed = (FeatureSet(declared(), COLUMNS, lateness="3h") for _ in range(2))
    for features in (read, pushed):
        features.push(time, rows, key)
    moments, ids = np.full(5, time.max() + hours * HOUR), np.array([7, 10**15, -3, 42, 99])
    blank = np.full((5, 2), np.nan)
    before = dumps(read.state)
    assert read.read(moments, ids).tobytes() == pushed.push(moments, blank, ids).tobytes()
    assert dumps(read.state) == before


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15)
def test_a_read_that_includes_a_row_is_what_pushing_it_answers(seed):
    time, rows, key = stream(seed)
    features = FeatureSet(declared(), COLUMNS, lateness="3h")
    for i in range(len(time)):
        asked = features.read(time[i : i + 1], key[i : i + 1], rows[i : i + 1], include=True)
        told = features.push(time[i : i + 1], rows[i : i + 1], key[i : i + 1])
        if not features.late:
            assert asked.tobytes() == told.tobytes()


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15)
def test_a_batch_feature_is_what_a_job_at_the_last_tick_would_have_read(seed):
    time, rows, key = stream(seed, late=False)
    features = FeatureSet(declared(), COLUMNS, lateness="3h")
    held = features.push(time, rows, key)[:, features.names.index("nightly")]
    inner = Feature("inner", column("x").over("5h", "sum"), "", "", -1.0)
    for i in range(0, len(time), 7):
        tick = time[i] // (6 * HOUR) * 6 * HOUR
        job = FeatureSet([inner], COLUMNS)
        before = time < tick
        job.push(time[before], rows[before], key[before])
        assert held[i] == job.read([tick], [key[i]])[0, 0]


@given(seed=st.integers(0, 10**6), ties=st.sampled_from(["rows", "reads"]))
@settings(max_examples=20)
def test_a_join_has_seen_just_the_rows_up_to_its_moment(seed, ties):
    r = np.random.default_rng(seed)
    time, at = np.sort(START + r.integers(0, 20, 60) * HOUR), np.sort(START + r.integers(0, 25, 40) * HOUR)
    key, of, x = r.integers(0, 3, 60), r.integers(0, 4, 40), r.integers(1, 9, (60, 1)).astype(float)
    total = FeatureSet([Feature("total", column("x").over("5h", "sum"), "", "")], ["x"])
    got = total.join(time, x, key, at, of, ties=ties)[:, 0]
    for i in range(40):
        up_to = time <= at[i] if ties == "rows" else time < at[i]
        assert got[i] == x[up_to & (time > at[i] - 5 * HOUR) & (key == of[i]), 0].sum()


def test_every_row_counts_for_a_count_of_rows_and_no_read_does():
    rows = FeatureSet([Feature("rows", constant(1).over("1d", "count"), "", "")], ["x"])
    rows.push([START, START + 1], [[np.nan], [1.0]])
    assert rows.read([START + 2], [0])[0, 0] == 2
    assert rows.read([START + 2], [0], [[1.0]])[0, 0] == 2
    assert rows.read([START + 2], [0], [[1.0]], include=True)[0, 0] == 3


def sums_of_a_day(answers, time, amount, key):
    """The oracle of the classic errors: whether answers are the day's spend as known when each payment was made."""
    day = 24 * HOUR
    spent = [
        sum(amount[j] for j in range(i + 1) if key[j] == key[i] and time[i] - day < time[j]) for i in range(len(time))
    ]
    return bool(np.allclose(answers, spent, rtol=1e-12))


def test_the_classic_errors_are_caught():
    r = np.random.default_rng(5)
    time, key = START + np.sort(r.integers(0, 100, 300)) * HOUR, r.integers(0, 5, 300)
    amount = r.integers(1, 10**6, 300).astype(float)  # cents

    def spend(window="24h"):
        return FeatureSet([Feature("spend", column("x").over(window, "sum"), "ct", "")], ["x"])

    honest = spend().push(time, amount, key)[:, 0]
    last_of_moment = np.array([np.flatnonzero((time == t) & (key == k))[-1] for t, k in zip(time, key, strict=True)])
    at_label, labels = spend(), time + 30 * 24 * HOUR
    at_label.push(time, amount, key)
    errors = {
        "sees a later row of its own moment": honest[last_of_moment],
        "never expires": spend("999d").push(time, amount, key)[:, 0],
        "is recomputed when the label comes": at_label.read(labels, key)[:, 0],
        "leaves its own row out": honest - amount,
    }
    assert sums_of_a_day(honest, time, amount, key)
    assert not [error for error, answers in errors.items() if sums_of_a_day(answers, time, amount, key)]


def test_the_streams_of_these_tests_hold_every_trouble():
    late = moved = forgotten = 0
    for seed in range(8):
        time, rows, key = stream(seed)
        features = FeatureSet(declared(), COLUMNS, lateness="3h")
        for i in range(len(time)):
            features.push(time[i : i + 1], rows[i : i + 1], key[i : i + 1])
            forgotten += features._windows.sweep()
        late, moved = late + features.late, moved + features.moved
    assert late > 20 and moved > 50 and forgotten > 20, (late, moved, forgotten)


@given(seed=st.integers(0, 10**6), partitions=st.sampled_from([2, 5, 256]), data=st.data(), texts=st.booleans())
@settings(max_examples=12)
def test_one_process_equals_any_spread_of_the_declared_partitions_over_processes(seed, partitions, data, texts):
    time, rows, key = stream(seed)
    key = np.array([f"card {k}" for k in key], object) if texts else key
    of = partition(key, partitions)
    process = np.array([data.draw(st.integers(0, 2), label="process") for _ in range(partitions)])[of]
    make = partial(FeatureSet, declared(), COLUMNS, lateness="3h", partitions=partitions)
    whole, parts = make(), [make() for _ in range(3)]
    want, got = whole.push(time, rows, key), np.empty((len(time), len(whole.names)))
    for k, part in enumerate(parts):
        mine, half = np.flatnonzero(process == k), data.draw(st.integers(0, 40))
        for piece in (mine[:half], mine[half:]):  # cut, and its quiet keys forgotten
            got[piece] = part.push(time[piece], rows[piece], key[piece])
            part._windows.sweep()
    assert got.tobytes() == want.tobytes()
    assert (sum(p.late for p in parts), sum(p.moved for p in parts)) == (whole.late, whole.moved)
    if partitions == 5:
        one = FeatureSet(declared(), COLUMNS, lateness="3h")
        one.push(time, rows, key)
        assert one.late >= whole.late, "the newest row of fewer keys is not newer"
        at = np.full(3, time.max() + HOUR)
        ids = key[:3]
        owners = [make() for _ in range(partitions)]
        for k, part in enumerate(owners):
            part.push(time[of == k], rows[of == k], key[of == k])
        for a, k, row in zip(ids, of[:3], whole.read(at, ids), strict=True):
            assert owners[k].read(at[:1], np.array([a], key.dtype)).tobytes() == row.tobytes()
    again = make()
    again.load(loads(dumps(whole.state)))
    assert dumps(again.state) == dumps(whole.state)
