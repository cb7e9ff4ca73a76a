"""What another policy would have earned, from the log of the one that chose, or why that log cannot say it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtml.core.later import pd

_Z = 1.959963984540054
LEAST = 200.0  # choices that a log must be worth
_WITHIN, _ERRORS = 0.25, 4.0  # how far the mean weight may lie from 1, and in standard errors


@dataclass(frozen=True)
class OffPolicy:
    """An estimate of a policy's mean reward from the log of another.

    Attributes
    ----------
    table
        ``value``, ``low``, ``high`` (95 %) of ``ips``, ``snips`` and ``doubly_robust``; NaN where it is refused.
    effective
        Choices of the policy itself that the log is worth (Kish's effective sample size).
    mean_weight, largest
        Of the weights; their mean is 1 where every choice of the policy could have been logged, and was logged rightly.
    refused
        Why there is no estimate; empty where there is one.
    """

    table: pd.DataFrame
    effective: float
    mean_weight: float
    largest: float
    refused: str


def estimate(arm, reward, propensity, target, predicted=None, least: float = LEAST) -> OffPolicy:
    """Mean reward of a policy, with 95 % intervals, from the choices that another one made and logged.

    Inverse propensity scores (Horvitz and Thompson, 1952), the same with weights that sum to one (Swaminathan and
    Joachims, 2015), and doubly robust (Dudik, Langford and Li, 2011).

    Parameters
    ----------
    arm, reward, propensity
        What was shown, what it earned (NaN where that was never known: left out) and the logged probability of showing
        it, shape (n,).
    target
        Probability with which the policy would have shown each arm, (n, arms).
    predicted
        Reward that a model expects of each arm, (n, arms), which must not have seen that round; mean rewards of the
        other half of the log unless given.
    least
        Effective choices below which it is refused.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> arm = rng.integers(2, size=5000)
    >>> reward = (rng.random(5000) < np.where(arm == 1, 0.3, 0.1)).astype(float)
    >>> always = np.tile([0.0, 1.0], (5000, 1))
    >>> found = estimate(arm, reward, np.full(5000, 0.5), always)
    >>> bool(found.table.loc["snips", "low"] < 0.3 < found.table.loc["snips", "high"]), round(found.mean_weight, 1)
    (True, 1.0)
    >>> estimate(arm[:100], reward[:100], np.full(100, 0.5), always[:100]).refused[:16]
    'the log is worth'
    """
    arm, reward = np.asarray(arm, int), np.asarray(reward, float)
    propensity, target = np.asarray(propensity, float), np.asarray(target, float)
    _check(arm, reward, propensity, target)
    known = ~np.isnan(reward)
    arm, reward = arm[known], reward[known]
    propensity, target = propensity[known], target[known]
    weight = target[np.arange(len(arm)), arm] / propensity
    total, squares = weight.sum(), (weight**2).sum()
    effective = total**2 / squares if squares else 0.0
    about = (float(effective), float(weight.mean()) if len(arm) else np.nan, float(weight.max(initial=0.0)))
    refused = _refusal(weight, effective, least)
    if refused:
        table = pd.DataFrame(np.nan, index=_NAMES, columns=_COLUMNS).rename_axis("estimate")
        return OffPolicy(table, *about, refused)
    q = _halves(arm, reward, target.shape[1]) if predicted is None else np.asarray(predicted, float)[known]
    rows = [_mean(weight * reward), _ratio(weight, reward)]
    rows.append(_mean((target * q).sum(axis=1) + weight * (reward - q[np.arange(len(arm)), arm])))
    return OffPolicy(pd.DataFrame(rows, index=_NAMES, columns=_COLUMNS).rename_axis("estimate"), *about, "")


_NAMES, _COLUMNS = ["ips", "snips", "doubly_robust"], ["value", "low", "high"]


def _check(arm: np.ndarray, reward: np.ndarray, propensity: np.ndarray, target: np.ndarray) -> None:
    n = len(arm)
    if not (arm.shape == reward.shape == propensity.shape == (n,) and target.ndim == 2 and len(target) == n):
        shapes = [part.shape for part in (arm, reward, propensity, target)]
        raise ValueError(f"arm, reward and propensity must be (n,) and target (n, arms), got {shapes}")
    if n and not (arm.min() >= 0 and arm.max() < target.shape[1] and propensity.min() > 0 and propensity.max() <= 1):
        raise ValueError("arms must be places of target, and what was shown had a propensity above 0, at most 1")
    if n and not (target.min() >= 0 and np.allclose(target.sum(axis=1), 1.0)):
        raise ValueError("each row of target must hold probabilities that sum to 1")


def _refusal(weight: np.ndarray, effective: float, least: float) -> str:
    if effective < least:
        return (
            f"the log is worth {effective:.0f} choices of this policy, fewer than {least:.0f}: let it choose for a "
            "part of the traffic, or raise the floor of the policy that logs"
        )
    off, error = weight.mean() - 1.0, weight.std() / np.sqrt(len(weight))
    if abs(off) > max(_ERRORS * error, 1e-9) or abs(off) > _WITHIN:
        return (
            f"the mean weight is {weight.mean():.2f}, not 1: the policy shows what was never shown, or the "
            "propensities were not logged rightly"
        )
    return ""


def _mean(values: np.ndarray) -> tuple[float, float, float]:
    mean, half = values.mean(), _Z * values.std(ddof=1) / np.sqrt(len(values))
    return mean, mean - half, mean + half


def _ratio(weight: np.ndarray, reward: np.ndarray) -> tuple[float, float, float]:
    """A mean by weights, with the interval of a ratio of two sums."""
    mean = (weight * reward).sum() / weight.sum()
    half = _Z * np.sqrt((weight**2 * (reward - mean) ** 2).sum()) / weight.sum()
    return mean, mean - half, mean + half


def _halves(arm: np.ndarray, reward: np.ndarray, arms: int, weight: float = 20.0) -> np.ndarray:
    """Mean reward of each arm in the other half of the log, pulled towards the mean of all, (n, arms)."""
    half, q = np.arange(len(arm)) % 2, np.empty((len(arm), arms))
    for mine in (0, 1):
        other = half != mine
        times = np.bincount(arm[other], minlength=arms)
        sums = np.bincount(arm[other], reward[other], minlength=arms)
        q[half == mine] = (sums + weight * reward[other].mean()) / (times + weight)
    return q
