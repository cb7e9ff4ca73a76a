"""Simulated tests of two versions that are right or wrong: what a procedure decides, how soon, and what it costs.

Hundreds of them run side by side in arrays. Requests come in batches; within a batch the chances of the arms stay, and
answers come so many batches late. Evidence is that of :mod:`rtml.registry.routing.evidence`, answer by answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from rtml.plots.style import GREY, PALETTE, canvas, need, nothing, styled
from rtml.registry.routing import bandit, evidence
from rtml.registry.routing.route import AB, POLICIES

ANYTIME, AT_THE_END, EVERY_LOOK, POSTERIOR = RULES = ("anytime", "z at the end", "z at every look", "posterior")
_Z = {AT_THE_END: 1.959964, EVERY_LOOK: 1.959964, POSTERIOR: 1.644854}


class Tests(NamedTuple):
    """Outcomes of tests, (runs,): which arm was declared better (-1: none) after how many answers, and rights missed.

    ``regret`` counts, over all requests, how many more would have been answered rightly by the better arm at that time;
    ``course`` is its mean after each batch, (batches,).
    """

    declared: np.ndarray
    answers: np.ndarray
    regret: np.ndarray
    course: np.ndarray


class _Sums:
    """Counts and rights of both arms, (runs, 2), and logs of bets on either arm, (runs, 2, stakes)."""

    def __init__(self, runs: int) -> None:
        self.counts, self.rights = np.zeros((runs, 2)), np.zeros((runs, 2))
        self.bets = np.zeros((runs, 2, len(evidence.STAKES)))

    def take(self, counts: np.ndarray, rights: np.ndarray, chances: np.ndarray, floor: float) -> None:
        """Take a batch of answers whose arms had these chances."""
        centre = self.rights.sum(1) / np.maximum(self.counts.sum(1), 1.0)
        for arm, sign in ((0, -1.0), (1, 1.0)):
            for right, n in ((1.0, rights[:, arm]), (0.0, counts[:, arm] - rights[:, arm])):
                gain = sign * (right - centre) / chances[:, arm]
                for side, toward in enumerate((-gain, gain)):
                    self.bets[:, side] += n[:, None] * evidence.difference(toward, floor)
        self.counts += counts
        self.rights += rights

    @property
    def z(self) -> np.ndarray:
        """Difference of the shares of rights in standard errors, (runs,)."""
        n = np.maximum(self.counts, 1.0)
        mean = self.rights / n
        error = np.sqrt(np.maximum((mean * (1 - mean) / n).sum(1), 1e-12))
        return np.where((self.counts > 0).all(1), (mean[:, 1] - mean[:, 0]) / error, 0.0)


def simulate(
    design: str,
    rates: np.ndarray,
    rng: np.random.Generator,
    *,
    rule: str = ANYTIME,
    runs: int = 500,
    batch: int = 100,
    late: int = 1,
    discount: float = 1.0,
    alpha: float = 0.05,
) -> Tests:
    """Run many tests of two arms.

    Parameters
    ----------
    design
        ``ab``: halves, and after a declaration all to the better arm; or a policy of a bandit, which goes on.
    rates
        Share that each arm answers rightly, a row a batch, (batches, 2).
    rule
        When an arm is declared better: ``anytime`` when the evidence suffices; ``z at the end`` or ``z at every look``
        beyond 1.96; ``posterior`` when an arm is the better one with a probability of 0.95, at any look.
    late
        Batches until answers come.
    discount
        Of a bandit.

    Examples
    --------
    >>> found = simulate("ab", np.tile([0.5, 0.6], (60, 1)), np.random.default_rng(7), runs=50)
    >>> int((found.declared == 1).sum()), int((found.declared == 0).sum())
    (50, 0)
    """
    if design not in (AB, *POLICIES) or rule not in RULES:
        raise ValueError(f"design is one of {', '.join((AB, *POLICIES))}, rule of {', '.join(RULES)}")
    sums, state, waiting, course = _Sums(runs), bandit.fresh(runs, 2), [], []
    declared, when, regret = np.full(runs, -1), np.full(runs, -1.0), np.zeros(runs)
    for number, now in enumerate(rates):
        chances = np.full((runs, 2), 0.5) if design == AB else bandit.chances(design, state, rng)
        tested = (declared < 0) | (design != AB)
        counts = _split(batch, np.where(tested, chances[:, 1], declared == 1), rng)
        rights = rng.binomial(counts.astype(int), now)
        regret += counts @ (now.max() - now)
        course.append(regret.mean())
        waiting.append((counts * tested[:, None], rights * tested[:, None], chances))
        if len(waiting) > late:
            told = waiting.pop(0)
            sums.take(*told, 0.5 if design == AB else bandit.FLOOR / 2)
            state = state if design == AB else bandit.learn(state, *told, discount)
        won = _winner(sums, rule, number == len(rates) - 1, alpha)
        fresh = (declared < 0) & (won >= 0)
        declared[fresh], when[fresh] = won[fresh], sums.counts[fresh].sum(1)
    return Tests(declared, when, regret, np.array(course))


def shadow(both: float, first: float, second: float, labels: int, rng: np.random.Generator, runs: int = 500) -> Tests:
    """The same for versions that are asked the same questions: evidence is on those of which they disagree.

    Parameters
    ----------
    both, first, second
        Share of the questions that both, only the first, and only the second version answers rightly.
    labels
        Labels at most.

    Examples
    --------
    >>> found = shadow(0.76, 0.04, 0.08, 4000, np.random.default_rng(7), runs=50)
    >>> bool((found.declared == 1).mean() > 0.9)
    True
    """
    if min(both, first, second) < 0 or both + first + second > 1:
        raise ValueError(f"shares of questions lie between 0 and 1 and add up to 1 at most, got {both, first, second}")
    draw = rng.random((runs, labels))
    apart = (draw < second).astype(float) - ((draw >= second) & (draw < first + second))
    wins = np.stack([np.cumsum(apart < 0, axis=1), np.cumsum(apart > 0, axis=1)])
    up, down = evidence.difference(1.0, 1.0), evidence.difference(-1.0, 1.0)
    needed, declared, when = math.log(2 / 0.05), np.full(runs, -1), np.full(runs, -1.0)
    for look in range(9, labels, 10):
        at = wins[:, :, look, None]
        log_e = evidence.capital(np.stack([at[0] * up + at[1] * down, at[1] * up + at[0] * down], axis=1))
        fresh = (declared < 0) & (log_e.max(1) >= needed)
        declared[fresh], when[fresh] = log_e.argmax(1)[fresh], look + 1
    return Tests(declared, when, np.zeros(runs), np.zeros(1))


def _split(batch: int, share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Requests of both arms, (runs, 2)."""
    second = rng.binomial(batch, share)
    return np.stack([batch - second, second], axis=1).astype(float)


def _winner(sums: _Sums, rule: str, last: bool, alpha: float) -> np.ndarray:
    """The arm that a rule declares better, -1 where none."""
    if rule == ANYTIME:
        log_e = evidence.capital(sums.bets)
        return np.where(log_e.max(1) >= math.log(2 / alpha), log_e.argmax(1), -1)
    if rule == AT_THE_END and not last:
        return np.full(len(sums.counts), -1)
    return np.where(np.abs(sums.z) >= _Z[rule], (sums.z > 0).astype(int), -1)


@styled
def cost_and_error(courses: Mapping[str, pd.DataFrame], errors: pd.DataFrame):
    """Right answers missed over requests, a panel a world, and the share of false decisions of each rule.

    Parameters
    ----------
    courses
        By world, a column a design, indexed by requests.
    errors
        One row a rule: ``false`` with ``low`` and ``high``, of tests of arms that are alike.
    """
    need(errors, ("false", "low", "high"), "cost_and_error")
    figure, axes = canvas("What does a test cost, and how often is it wrong?", 1, len(courses) + 1, 4.2)
    for ax, (world, frame) in zip(axes[0], courses.items(), strict=False):
        for colour, name in zip(PALETTE, frame, strict=False):
            ax.plot(frame.index, frame[name], color=colour, label=name)
        ax.set(xlabel="requests", title=world)
    axes[0, 0].set_ylabel("right answers missed")
    last = axes[0, -1]
    if not len(errors):
        nothing(last, "no rule was tried")
        return figure
    place = np.arange(len(errors))[::-1]
    found = errors[["low", "false", "high"]].to_numpy(float).T
    last.barh(place, found[1], color=GREY, height=0.6, xerr=np.abs(found[[0, 2]] - found[1]))
    last.axvline(0.05, color=PALETTE[1], linewidth=1, linestyle=(0, (4, 3)))
    last.set_yticks(place, errors.index)
    last.set(xlabel="share of false decisions", title="arms that are alike (dashed: 5 %)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
