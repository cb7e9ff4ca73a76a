"""Declarations: kinds, references, categories, catalogue, diff, explanations, money and size."""

import math

import numpy as np
import pandas as pd
import pytest

from rtml.core.state import dumps, loads
from rtml.features.feature_set import Category, Feature, FeatureSet, column, constant, feature, moment

HOUR = 3600 * 10**9
DAY = 24 * HOUR
x = column("x")


def one(formula, columns=("x",), default=0.0, **options):
    return FeatureSet([Feature("f", formula, "", "", default)], columns, **options)


def test_a_feature_may_refer_to_others_in_any_order():
    ratio = Feature("ratio", feature("day") / feature("week"), "share", "today's part of the week")
    spend = [Feature(name, x.over(w, "sum"), "EUR", "spent") for name, w in (("day", "24h"), ("week", "7d"))]
    out = FeatureSet([ratio, *spend], ["x"]).push(np.array([0, 1, 3]) * DAY, [[3.0], [1.0], [4.0]])
    assert out.tolist() == [[1.0, 3.0, 3.0], [0.25, 1.0, 4.0], [0.5, 4.0, 8.0]]


def test_a_circle_is_refused_by_its_names_and_an_unknown_name_with_those_that_exist():
    circle = [Feature(a, feature(b) + 1, "", "") for a, b in ("ab", "bc", "ca")]
    with pytest.raises(ValueError, match="features refer to each other in a circle: a -> b -> c -> a"):
        FeatureSet(circle, ["x"])
    with pytest.raises(ValueError, match="circle: a -> a"):
        FeatureSet([Feature("a", feature("a"), "", "")], ["x"])
    with pytest.raises(LookupError, match="no feature 'z'; declared: a, b"):
        FeatureSet([Feature("a", feature("z"), "", ""), Feature("b", x, "", "")], ["x"])


def test_a_reference_is_served_with_its_default():
    features = FeatureSet(
        [Feature("mean", x.over("1h", "mean"), "", "", 7.0), Feature("b", feature("mean") * 2, "", "")], ["x"]
    )
    assert features.read([5], [1]).tolist() == [[7.0, 14.0]]


def test_the_three_kinds_stand_in_one_set_and_one_vector():
    declared = [
        Feature("spend", x.over("24h", "sum"), "EUR", "spent in a day"),
        Feature("night", (moment() % 86400 < 6 * 3600) * constant(1), "0 or 1", "before six, UTC"),
        Feature("log_amount", (column("asked") + 1).log(), "log EUR", "size of what is asked"),
        Feature("usual", x.over("7d", "mean").held("1d"), "EUR", "mean payment as of last midnight"),
        Feature("unusual", column("asked") / feature("usual"), "times", "what is asked against what is usual"),
    ]
    features = FeatureSet(declared, ["x", "asked"])
    assert features.catalogue()["kind"].tolist() == ["streaming", "request", "request", "batch", "batch"]
    features.push(np.array([1, 20, 30]) * HOUR, {"x": [10.0, 30.0, 50.0]})
    vector = features.read([50 * HOUR], None, {"asked": [9.0]})
    assert vector[0] == pytest.approx([50.0, 1.0, math.log(10), 30.0, 9 / 30])


def test_texts_are_keys_and_a_table_is_rows():
    kind = Category("kind", ("food", "travel"))
    features = FeatureSet([Feature("n", column("kind").over("1d", "distinct"), "", ""), *kind.features()], ["x", kind])
    table = pd.DataFrame({"kind": ["food", None, "casino", "travel"], "x": [1, 2, None, 4], "more": 0})
    out = features.push(np.arange(4) * HOUR, table, ["a", "a", "a", "b"])
    assert out[:, 0].tolist() == [1, 1, 2, 1]
    assert out[:, 1:].tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]]
    asked = [features.read([4 * HOUR], ["b"], {"kind": [k]})[0, 1:].tolist() for k in table["kind"]]
    assert asked == out[:, 1:].tolist()


def test_an_ordinal_category_has_slots_for_unseen_and_none():
    kind = Category("kind", ("food", "travel"))
    features = FeatureSet(kind.features("ordinal"), [kind])
    assert features.push(np.arange(4), {"kind": ["travel", float("nan"), "?", "food"]})[:, 0].tolist() == [1, 3, 2, 0]
    with pytest.raises(LookupError, match="no encoding 'hash'; known: one_hot, ordinal"):
        kind.features("hash")
    with pytest.raises(ValueError, match="must be given and differ"):
        Category("kind", ("a", "a"))
    with pytest.raises(TypeError, match=r"column 'x' holds no numbers .*: declare it as Category"):
        one(x).rows({"x": ["food"]})


def test_the_definition_changes_with_what_is_computed():
    sets = [
        one(x.over("1h", "sum")),
        one(x.over("1h", "sum", kind="tumbling")),
        one(x.over("1h", "sum"), lateness="1h"),
    ]
    sets += [one(x.lag(1)), one(x.lag(1, within="1h")), one(x.over("1h", "sum").held("1d")), one(x, default=1.0)]
    sets += [one(x, ["x", Category("k", ("a",))]), one(x, ["x", Category("k", ("b",))])]
    assert len({features.definition for features in sets}) == len(sets)


def test_print_is_the_catalogue_with_the_definition():
    features = one(x.over("24h", "ewm"))
    text = str(features)
    assert f"1 features of x, definition {features.definition}" in text and "(ewm x 1d)" in text
    assert features.catalogue().loc["f", ["kind", "window", "warm_up"]].tolist() == ["streaming", "1d", "64d"]
    both = Feature("f", (x.lag(2) / x.over("7d", "mean")).held("1d"), "", "")
    assert FeatureSet([both], ["x"]).catalogue().loc["f", "warm_up"] == "8d and 2 rows"
    said = Feature("f", x.over("7d", "mean"), "", "", warm_up="30 payments")
    assert FeatureSet([said], ["x"]).catalogue().loc["f", "warm_up"] == "30 payments"


def test_a_diff_says_what_is_added_removed_and_changed_and_how():
    old = [
        Feature("a", x.over("1h", "sum"), "EUR", "spent"),
        Feature("b", x, "", ""),
        Feature("c", feature("a") * 2, "", ""),
    ]
    new = [Feature("a", x.over("2h", "sum"), "ct", "spent"), old[2], Feature("d", x.lag(1), "", "")]
    diff = FeatureSet(old, ["x"]).diff(FeatureSet(new, ["x"]))
    assert diff["change"].to_dict() == {"b": "removed", "d": "added", "a": "changed", "c": "changed"}
    assert diff.loc["a", "how"].startswith("unit: EUR -> ct; window: 1h -> 2h; warm_up: 1h -> 2h; formula: (sum x 1h)")
    assert diff.loc["c", "how"] == "window: 1h -> 2h; warm_up: 1h -> 2h"
    assert not len(FeatureSet(old, ["x"]).diff(FeatureSet(old, ["x"])))


@pytest.mark.parametrize("kind", ["sliding", "tumbling", "session"])
def test_an_explanation_lists_the_events_that_a_feature_holds(kind):
    features = one(x.over("6h", "sum", kind=kind) / 2)
    r = np.random.default_rng(3)
    time = np.cumsum(r.integers(0, 3 * HOUR, 60))
    features.push(time, r.integers(1, 9, (60, 1)), r.integers(1, 3, 60))
    for later in (0, 2 * HOUR, 5 * HOUR, 9 * HOUR):
        at = int(time[-1]) + later
        for key in (1, 2, 5):
            told = features.explain(key, "f", at)
            assert told["value"].sum() / 2 == features.read([at], [key])[0, 0]
            assert told["time"].is_monotonic_increasing and told["window"].nunique() <= 1
    with pytest.raises(ValueError, match=r"the newest row of 1 came at .* what went out before is not kept"):
        features.explain(1, "f", 0)
    with pytest.raises(LookupError, match="no feature 'g'; declared: f"):
        features.explain(1, "g")


def test_a_quiet_card_has_spent_nothing_tomorrow():
    features = one(x.over("24h", "sum"))
    features.push([0], [[50.0]], [8])
    assert features.read([0, DAY - 1, DAY, 9 * DAY], [8] * 4)[:, 0].tolist() == [50.0, 50.0, 0.0, 0.0]


def test_pushing_one_row_is_pushing_it():
    r = np.random.default_rng(1)
    declared = [
        Feature("max", x.over("1h", "max"), "", ""),
        Feature("mean", x.over("24h", "mean"), "", ""),
        Feature("lag", x.lag(1), "", ""),
    ]
    fast, plain = (FeatureSet(declared, ["x"], lateness="1h") for _ in range(2))
    time, key, rows = np.cumsum(r.integers(0, HOUR, 500)), r.integers(0, 90, 500), r.random((500, 1))
    got = [fast.push_one(t, k, row).copy() for t, k, row in zip(time.tolist(), key.tolist(), rows, strict=True)]
    assert np.array(got).tobytes() == plain.push(time, rows, key).tobytes()
    assert dumps(fast.state) == dumps(plain.state)
    with pytest.raises(ValueError, match="cannot reshape"):
        fast.push_one(int(time[-1]), 5, np.zeros(2))


def test_late_rows_are_counted_and_not_used_and_rows_out_of_order_are_taken_now():
    features = one(x.over("2h", "sum"), lateness="1h")
    out = features.push(np.array([10, 9, 8, 12]) * HOUR, [[1.0], [2.0], [4.0], [8.0]])
    assert out[:, 0].tolist() == [1.0, 3.0, 3.0, 8.0]  # 9 h is taken at 10 h, 8 h is answered and not used
    assert (features.late, features.moved) == (1, 1)
    strict = one(x.over("2h", "sum"), lateness="0s")
    assert strict.push(np.array([10, 9, 10]) * HOUR, np.ones((3, 1)), [1, 2, 3])[:, 0].tolist() == [1.0, 0.0, 1.0]


def test_money_in_cents_is_exact_after_ten_million_additions_and_subtractions():
    cents = np.random.default_rng(0).integers(1, 2**47, 5_000_000).astype(float)
    total = one(x.over("1h", "sum"))
    out = total.push(np.arange(cents.size) * (HOUR // 50), cents)[:, 0]
    whole = np.cumsum(cents.astype(np.int64))
    want = whole.copy()
    want[50:] -= whole[:-50]
    assert (out == want).all()


def test_quiet_keys_are_forgotten_and_memory_stays_bounded():
    features = one(x.over("1h", "max"), lateness="0s")
    for day in range(12):
        ids = np.arange(5000) + 5000 * day
        features.push(np.full(5000, day * DAY) + np.arange(5000), np.ones((5000, 1)), ids)
    assert len(features.keys()) <= 3 * 5000
    assert features.memory()["bytes"] < 8e6
    kept = one(x.over("1h", "max").lag(1), lateness="0s")
    kept.push([0, 9 * DAY], np.ones((2, 1)), [1, 2])
    kept._windows.sweep()
    assert kept.keys().tolist() == [1, 2]  # a lag without `within` looks back for ever


def test_a_million_keys_fit_into_four_gigabytes():
    hows = [(w, how) for w in ("1h", "24h", "7d") for how in ("sum", "count", "mean", "max")]
    features = FeatureSet([Feature(f"{how}_{w}", x.over(w, how), "", "") for w, how in hows], ["x"])
    n = 1_000_000
    features.push(np.arange(n) * 1000, np.ones((n, 1)), np.arange(n) * 977 % 1_000_003)
    memory = features.memory()
    assert memory["keys"] == n
    assert memory["bytes"] < 1e9
    assert memory["bytes_per_key"] == 8 * (4 + 3 + 2 * 3 + 3 * 3) + 40


def test_nothing_pushed_and_nothing_read_is_fine():
    total = one(x.over("1d", "sum"))
    assert total.join([], [], [], [5], [1]).tolist() == [[0.0]]
    assert total.join([6], [[2.0]], [1], [], []).shape == (0, 1)
    assert total.push([], [], []).shape == (0, 1)
    assert total.join([], [], [], [], []).shape == (0, 1)
    assert total.read([7], [1]).tolist() == [[2.0]]


def test_a_state_of_texts_goes_round():
    features, again = one(x.over("1d", "distinct")), one(x.over("1d", "distinct"))
    features.push([1, 2, 3], [[1.0], [2.0], [1.0]], ["a", "b", "a"])
    again.load(loads(dumps(features.state)))
    assert again.read([4, 4, 4], ["a", "b", "c"])[:, 0].tolist() == [1.0, 1.0, 0.0]


def test_what_cannot_be_declared_is_said():
    with pytest.raises(LookupError, match="no kind of window 'hopping'; known: sliding, tumbling, session"):
        x.over("1h", "sum", kind="hopping")
    with pytest.raises(ValueError, match="ewm has a half-life and no window"):
        x.over("1h", "ewm", kind="session")
    with pytest.raises(ValueError, match="a batch feature cannot hold another"):
        x.held("1d").over("1h", "sum").held("7d")
    with pytest.raises(ValueError, match="ties are 'rows'"):
        one(x).join([1], [[1.0]], [1], [2], [1], ties="all")
    with pytest.raises(ValueError, match="a key and a moment for each row, got 1 keys and 2 moments"):
        one(x).push([1, 2], [[1.0], [2.0]], [1])


def test_a_sum_forgets_a_large_value_without_a_trace_of_it():
    features = one(x.over("10s", "sum"))
    values = np.array([0.1, 1e17, 0.2, -1e17, 0.3])
    X = features.push(np.arange(5), values[:, None])
    assert X[:, 0].tolist()[-1] == pytest.approx(math.fsum(values), abs=1e-12), "a plain sum would say 0.3"
    later = features.push(np.array([20 * 10**9]), np.array([[0.5]]))
    assert later[0, 0] == 0.5
