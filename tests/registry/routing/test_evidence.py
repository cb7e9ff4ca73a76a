"""Nothing is concluded falsely more than once in twenty tests, however often one looks; what is there is found soon."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from trials import shadow, simulate

from rtml.core.segments import Segment
from rtml.core.target import Target
from rtml.registry.routing import bandit, evidence
from rtml.registry.routing.experiment import _OF_FAILURES, MISMATCHED, Experiment
from rtml.registry.routing.plan import plan, table
from rtml.registry.routing.route import Route, begin

RISE = Target("rise", "probability")
AB = {"a": 0.5, "b": 0.5}


def same(rate, batches=60):
    return np.full((batches, 2), rate)


@pytest.mark.parametrize("late", [1, 10])
@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_of_1000_tests_of_arms_that_are_alike_at_most_one_in_twenty_decides_with_delayed_labels(rate, late):
    found = simulate("ab", same(rate), np.random.default_rng(7), runs=1000, late=late)
    assert (found.declared >= 0).mean() <= 0.05
    peeking = simulate("ab", same(rate), np.random.default_rng(7), runs=200, rule="z at every look")
    assert (peeking.declared >= 0).mean() > 0.1, "what is claimed is not for nothing"


def test_a_bandit_concludes_falsely_as_seldom_from_its_log():
    found = simulate("thompson", same(0.3), np.random.default_rng(7), runs=400, discount=0.9997)
    assert (found.declared >= 0).mean() <= 0.05


def test_it_finds_what_is_there_within_what_the_plan_says():
    planned = plan(0.2, 0.05)
    rates = np.tile([0.80, 0.85], (planned.sequential * 2 // 100, 1))
    found = simulate("ab", rates, np.random.default_rng(7), runs=200)
    assert (found.declared == 1).mean() > 0.95 and not (found.declared == 0).any()
    at_the_end = simulate("ab", rates[: planned.fixed // 100], np.random.default_rng(7), runs=500, rule="z at the end")
    assert 0.74 < (at_the_end.declared == 1).mean() < 0.88, "planned for 0.8"


def test_asked_the_same_questions_versions_are_told_apart_with_a_fraction_of_the_answers():
    rng = np.random.default_rng(7)
    for disagree, labels in ((0.06, 700), (0.26, 2500)):
        second = (disagree + 0.04) / 2
        found = shadow(0.84 - second, disagree - second, second, 5000, rng, runs=200)
        assert (found.declared == 1).mean() > 0.95 and np.median(found.answers) < labels
    alike = shadow(0.75, 0.05, 0.05, 4000, rng, runs=500)
    assert (alike.declared >= 0).mean() <= 0.05


def stops(rate, runs=1000):
    """Look, each 100 canary requests, at which a canary of 5 % is stopped, -1 where never; the base fails 1 %."""
    rng, bets = np.random.default_rng(3), 0.0
    for second, of in ((True, rng.binomial(100, rate, (runs, 200))), (False, rng.binomial(1900, 0.01, (runs, 200)))):
        bets = bets + of.cumsum(1)[..., None] * evidence.failure(second, 0.05)
    stopped = math.log(_OF_FAILURES) + evidence.capital(bets) >= math.log(20)
    return np.where(stopped.any(1), stopped.argmax(1), -1)


def test_a_canary_is_stopped_soon_when_it_fails_and_seldom_when_it_does_not():
    assert (stops(0.01) >= 0).mean() <= 0.05
    for rate, requests in ((0.03, 400), (0.02, 1200)):
        stopped = stops(rate)
        assert (stopped >= 0).all() and np.median((stopped + 1) * 100) <= requests


def test_failures_and_losses_are_bet_on_as_written_down_by_hand():
    route = begin("canary", "t", {"a": 0.9, "b": 0.1})
    test, rng = Experiment(route, RISE), np.random.default_rng(7)
    by_hand, losses = np.zeros(10), []
    for n in range(200):
        second, p, y = rng.random() < 0.1, rng.random(), float(rng.random() < 0.3)
        centre, chance = sum(losses) / max(len(losses), 1), 0.1 if second else 0.9
        gain = ((p - y) ** 2 - centre) * (-1 if second else 1) / chance
        by_hand += [math.log(1 - stake * 0.1 * gain) for stake in 0.5 ** np.arange(1, 11)]
        losses.append((p - y) ** 2)
        test.answer("b" if second else "a", f"u{n}", chance, p, y)
    assert np.allclose(test._books["b"].worse, by_hand, atol=1e-12)
    assert test.losses["a"][0] + test.losses["b"][0] == 200
    test.answer("a", "u7", 0.9, 0.5, 1.0)
    assert test.answers == 200, "a unit counts once"
    for arm, unit in (("a", "u1"), ("b", "u2"), ("b", "u2"), ("a", "u3")):
        test.fail(route.label, arm, unit, 0.9 if arm == "a" else 0.1)
    odds = [math.log(k / (0.1 * k + 0.9)) - 2 * math.log(0.1 * k + 0.9) for k in (1.5, 2, 3, 5)]
    assert np.allclose(test._books["b"].fails, odds) and test.failures == {"a": 2, "b": 1}


@pytest.mark.parametrize("kind", ["ab", "canary"])
def test_looked_at_again_and_again_arms_that_are_alike_are_left_alone(kind):
    rng, decided = np.random.default_rng(7), 0
    for run in range(25):
        test = Experiment(begin(kind, f"t{run}", {"a": 0.8, "b": 0.2}, after=10**6), RISE)
        for n in range(400):
            arm = "b" if rng.random() < 0.2 else "a"
            test.answer(arm, f"u{n}", 0.2 if arm == "b" else 0.8, rng.random(), float(rng.random() < 0.3))
            if rng.random() < 0.05:
                test.fail(test.route.label, arm, f"u{n}", 0.2)
            if n % 20 == 0 and test.decision():
                decided += 1
                break
    assert decided <= 3, "one in twenty is claimed"


NEW, OLD = Segment("new cards", "payments", high=5.0), Segment("old cards", "payments", low=5.0)


def test_what_is_better_overall_and_worse_in_a_segment_is_said_so():
    test, rng = Experiment(begin("ab", "t", AB), RISE, (NEW, OLD)), np.random.default_rng(7)
    first, second = test.route.arms
    for n in range(4000):
        arm, payments = (first, second)[rng.random() < 0.5], float(rng.integers(0, 20))
        p = 0.5 if arm == first else 0.9 if payments < 5 else 0.1
        test.answer(arm, f"u{n}", 0.5, p, float(rng.random() < 0.2), ("amount", "payments"), (1.0, payments))
    assert test.segments(second) == {"new cards": "worse", "old cards": "better"}
    assert "; better overall, worse for new cards, better for old cards" in test.sentence(second, "better", 9.0, 3.0)


def test_of_many_segments_of_arms_that_are_alike_seldom_one_is_ever_said_to_differ():
    rng, wrong = np.random.default_rng(7), 0
    cuts = [Segment(f"s{k}", "x", k / 4, (k + 1) / 4) for k in range(4)]
    for run in range(30):
        test = Experiment(begin("ab", f"t{run}", AB), RISE, cuts)
        for n in range(300):
            arm = test.route.arms[rng.random() < 0.5]
            test.answer(arm, f"u{n}", 0.5, rng.random(), float(rng.random() < 0.3), ("x",), (rng.random(),))
            if n % 25 == 0 and any(test.segments(other) for other in test.route.arms[1:]):
                wrong += 1
                break
    assert wrong <= 3, "one in twenty is claimed"


def test_an_arm_that_only_fails_is_stopped_and_a_bandit_leaves_it():
    arms = {"a": 0.4, "b": 0.3, "c": 0.3}
    test, played = Experiment(begin("ab", "t", arms), RISE), Experiment(begin("bandit", "t", arms), RISE)
    for n in range(40):
        for one in (test, played):
            one.answer("a", f"u{n}", 0.4, 0.4, 1.0)
            one.answer("c", f"v{n}", 0.3, 0.4, 1.0)
            one.fail(one.route.label, "b", f"w{n}", 0.3)
    assert (test.decision().what, test.decision().arm) == ("worse", "b")
    assert "failures of b beside 0 of a" in test.decision().why
    assert bandit.chances("thompson", played.state, np.random.default_rng(7)).argmin() == 1


def test_a_canary_takes_its_next_step_after_so_many_units_of_its_own_new_or_not():
    route = begin("canary", "t", {"a": 0.9, "b": 0.1}, steps=(0.5,), after=3)
    test = Experiment(route, RISE)
    for unit in ("u1", "u2", "u2", "u3"):
        test.ask(route.label, "b", unit)
        test.ask(route.label, "a", f"{unit} of a")
    assert test.decision().what == "next"
    test.follow(route.grown())
    assert test.decision() is None
    for unit in ("u1", "u1 of a", "u2"):
        test.ask(test.route.label, "b", unit)
    assert test.decision().what == "through"


@settings(max_examples=25)
@given(st.lists(st.integers(0, 3000), min_size=3, max_size=3), st.sampled_from([(0.5, 0.3, 0.2), (0.05, 0.9, 0.05)]))
def test_the_sample_ratio_check_is_the_bayes_factor_of_scipy(counts, shares):
    prior = 100 * np.array(shares)
    expected = stats.dirichlet_multinomial.logpmf(counts, prior, sum(counts))
    expected -= stats.multinomial.logpmf(counts, sum(counts), shares)
    found = evidence.mismatch(dict(zip("abc", counts, strict=True)), dict(zip("abc", shares, strict=True)))
    assert found == pytest.approx(expected, abs=1e-6)


def test_shares_that_are_kept_raise_no_alarm_and_lost_units_do():
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(300):
        counts = rng.binomial(100, 0.5, 100).cumsum()
        looks = [evidence.mismatch({"a": c, "b": 100 * (n + 1) - c}, AB) for n, c in enumerate(counts.tolist())]
        alarms += max(looks) >= MISMATCHED
    assert alarms <= 6, "one in a hundred is claimed"
    test = Experiment(begin("ab", "t", AB), RISE)
    for n in range(10_000):
        arm = "ab"[n % 2]
        if arm == "a" or n % 20 != 1:  # a tenth of b's units are lost on the way
            test.ask(test.route.label, arm, f"u{n}")
        test.answer(arm, f"u{n}", 0.5, 0.1 if arm == "b" else 0.9, 0.0)
    assert test.mismatch >= MISMATCHED and test.decision() is None, "nothing is concluded from broken shares"


@pytest.mark.parametrize(
    ("kind", "outputs", "good", "bad", "y"),
    [
        ("number", {}, 2.0, 3.0, 2.1),
        ("classes", {"classes": ("x", "y")}, np.array([0.1, 0.9]), np.array([0.9, 0.1]), 1.0),
        ("ranking", {"size": 2}, np.array([5.0, 1.0]), np.array([1.0, 5.0]), 5.0),
        ("probability", {}, 0.9, 0.1, 1.0),
    ],
)
def test_every_kind_of_target_is_settled_by_its_own_loss(kind, outputs, good, bad, y):
    test = Experiment(begin("ab", "t", AB), Target("target", kind, **outputs))
    for n in range(600):
        test.answer("ab"[n % 2], f"u{n}", 0.5, good if n % 2 else bad, y)
    found = test.decision()
    assert (found.what, found.arm) == ("better", "b") and found.why.startswith("b is better than a: loss -")


def test_a_table_of_plans_and_what_cannot_be_planned():
    rows = table(0.01, [0.0005, 0.005])
    assert rows["fixed"].tolist() == [plan(0.01, effect).fixed for effect in rows["effect"]]
    assert rows["fixed"][0] == pytest.approx(2 * 637_000, rel=0.001), "the field's 630,000 an arm"
    assert (rows["paired"] < rows["fixed"]).all() and (rows["fixed"] < rows["sequential"]).all()
    for given_, says in (((0.01, 0.0), "effect must be above 0"), ((0.5, 0.7), "of a loss give its deviation too")):
        with pytest.raises(ValueError, match=says):
            plan(*given_)
    assert plan(2.0, 0.1, deviation=3.0).fixed == pytest.approx(4 * 9 * 7.849 / 0.01, rel=0.001)


def test_stopping_the_only_other_arm_leaves_what_serves():
    route = begin("ab", "t", AB)
    assert route.stopped("b") == route.stopped() == Route()
    with pytest.raises(LookupError, match="no arm 'c' to stop; there are: b"):
        route.stopped("c")
