"""The plan of an A/B test: how many answers a smallest effect takes, before anybody is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from rtml.core.later import pd
from rtml.metrics import confidence_sequence


@dataclass(frozen=True)
class Plan:
    """Answers that a test needs, of both arms together.

    ``fixed`` looks once, at its end; ``sequential`` may be looked at after each answer: there its interval leaves out
    "no effect" with the same power. ``paired`` is what the effect takes where both versions are asked the same
    questions: of a rate they disagree on a tenth at most, losses correlate with 0.9.
    """

    effect: float
    fixed: int
    sequential: int
    paired: int
    sentence: str


def plan(
    baseline: float, effect: float, *, deviation: float | None = None, share: float = 0.5, power: float = 0.8
) -> Plan:
    """Sample size for a smallest effect on a mean loss or a rate, at an error of 5 % in both directions.

    Parameters
    ----------
    baseline
        Mean loss, or rate, of what serves.
    effect
        Smallest difference that matters, in the same unit.
    deviation
        Standard deviation of one loss; of a rate it follows from the rate.
    share
        Of the second arm.
    power
        Chance to find the effect where it is there.

    Examples
    --------
    >>> plan(0.01, 0.0005).fixed
    1274015
    >>> plan(0.2, 0.04).sentence.partition(":")[2][:60]
    ' 3,360 answers where one looks once, at the end; about 6,500'
    """
    rates = (baseline, baseline + effect)
    if deviation is None and not all(0 < rate < 1 for rate in rates):
        raise ValueError(f"a rate and its change lie between 0 and 1, got {rates}: of a loss give its deviation too")
    if not (effect > 0 and 0 < share < 1 and 0 < power < 1):
        raise ValueError(f"effect must be above 0, share and power between 0 and 1, got {effect}, {share}, {power}")
    first, second = (deviation**2 if deviation else rate * (1 - rate) for rate in rates)
    variance = first / (1 - share) + second / share
    normal = NormalDist()
    z = normal.inv_cdf(0.975) + normal.inv_cdf(power)
    both = 0.2 * deviation**2 if deviation else max(min(0.1, baseline), effect) - effect**2
    fixed, paired = (math.ceil(each * z * z / effect**2) for each in (variance, both))
    n = np.unique(np.geomspace(10, 100 * fixed, 4000).astype(int))
    width = confidence_sequence.radius(n, np.full(len(n), variance), optimise_at=fixed)
    sequential = int(n[np.argmax(width + normal.inv_cdf(power) * np.sqrt(variance / n) <= effect)])
    sentence = (
        f"to find a change from {baseline:g} to {baseline + effect:g} or {baseline - effect:g}: {fixed:,} answers "
        f"where one looks once, at the end; about {round(sequential, -2):,} where one may look after each. If the "
        f"label is the same whatever is shown, ask both in shadow instead: {paired:,} answers."
    )
    return Plan(effect, fixed, sequential, paired, sentence)


def table(baseline: float, effects: list[float], **how) -> pd.DataFrame:
    """Plans of several effects, one a row.

    Examples
    --------
    >>> table(0.2, [0.02, 0.04])["fixed"].tolist()
    [13014, 3360]
    """
    plans = [plan(baseline, effect, **how) for effect in effects]
    return pd.DataFrame(
        [{name: getattr(one, name) for name in ("effect", "fixed", "sequential", "paired")} for one in plans]
    )
