"""A policy is judged from another's log: right on average, with intervals that hold, or refused with the reason."""

import numpy as np
import pytest

from rtml.usecases.sessions.off_policy import estimate

CHANCE = np.array([[0.10, 0.20, 0.04, 0.04], [0.10, 0.04, 0.20, 0.04]])
TRUTH = 0.20  # of showing each kind of visitor the item for it


def logged(seed, n=6000, floor=0.05):
    """A log of a policy that prefers what is popular, and the one to be judged, which never shows that."""
    rng = np.random.default_rng(seed)
    kind, chances = rng.integers(2, size=n), np.full(4, floor)
    chances[0] += 1 - 4 * floor
    arm = rng.choice(4, size=n, p=chances)
    reward = (rng.random(n) < CHANCE[kind, arm]).astype(float)
    return arm, reward, chances[arm], np.eye(4)[1 + kind], kind


@pytest.fixture(scope="module")
def judged():
    found = [logged(seed) for seed in range(200)]
    return [estimate(*log[:4], predicted=CHANCE[log[4]] * 0.8) for log in found]


@pytest.mark.parametrize("name", ["ips", "snips", "doubly_robust"])
def test_intervals_hold_the_truth_in_nine_of_ten_logs_and_the_mean_is_right(name, judged):
    assert not [one.refused for one in judged if one.refused]
    rows = np.array([one.table.loc[name] for one in judged])
    covered = ((rows[:, 1] <= TRUTH) & (rows[:, 2] >= TRUTH)).mean()
    assert 0.90 <= covered <= 0.99, f"{covered:.1%} of 200 intervals hold the truth"
    assert abs(rows[:, 0].mean() - TRUTH) < 3 * rows[:, 0].std() / np.sqrt(200)


def test_a_reward_model_makes_the_doubly_robust_interval_narrower(judged):
    width = {}
    for name in ("ips", "doubly_robust"):
        width[name] = np.mean([one.table.loc[name, "high"] - one.table.loc[name, "low"] for one in judged])
    assert width["doubly_robust"] < 0.95 * width["ips"], width


def test_figures_are_those_of_the_formulas():
    arm, reward, propensity, target, _ = logged(3)
    found = estimate(arm, reward, propensity, target)
    w = target[np.arange(len(arm)), arm] / propensity
    assert found.table.loc["ips", "value"] == pytest.approx((w * reward).mean())
    assert found.table.loc["snips", "value"] == pytest.approx((w * reward).sum() / w.sum())
    assert found.effective == pytest.approx(w.sum() ** 2 / (w**2).sum()) and found.largest == w.max()


def test_worthless_weights_are_refused_with_the_reason():
    arm, reward, propensity, target, _ = logged(1, n=300)
    few = estimate(arm, reward, propensity, target)
    assert few.refused.startswith("the log is worth ") and few.table.isna().all(axis=None)
    arm, reward, propensity, target, _ = logged(1, n=20_000)
    wrong = estimate(arm, reward, propensity * 0.8, target)
    assert "the mean weight is 1." in wrong.refused and "not logged rightly" in wrong.refused
    nothing = estimate([0, 0], [1.0, 0.0], [1.0, 1.0], [[0.0, 1.0]] * 2)
    assert nothing.effective == 0 and "worth 0 choices" in nothing.refused


def test_the_policy_that_logged_is_judged_by_its_own_mean_and_missing_rewards_are_left_out():
    arm, reward, propensity, _, _ = logged(2, n=4000)
    same = np.tile([0.85, 0.05, 0.05, 0.05], (4000, 1))
    reward[::7] = np.nan
    found = estimate(arm, reward, propensity, same)
    assert found.table.loc["ips", "value"] == pytest.approx(np.nanmean(reward)) and found.mean_weight == 1


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"must be \(n,\) and target \(n, arms\)"):
        estimate([0], [1.0], [0.5], [1.0, 0.0])
    with pytest.raises(ValueError, match="a propensity above 0"):
        estimate([0], [1.0], [0.0], [[1.0, 0.0]])
    with pytest.raises(ValueError, match="sum to 1"):
        estimate([0], [1.0], [0.5], [[0.7, 0.0]])
