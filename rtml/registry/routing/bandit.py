"""Bandits between versions: most requests go to what has answered best of late, and every chance is logged.

A bandit loses little while it learns, and concludes nothing: it soon asks the worse arm so seldom that nobody can say
how bad it is. What is concluded from its log is concluded by :mod:`rtml.registry.routing.evidence`, whose bets weigh
each answer by the chance its arm had. Rewards may come late and in any order; each is weighed by the chance of the time
it was asked. State and chances have the arms in the last axis, so that many bandits may run side by side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_DRAWS = 64  # of the posterior, of which the share that an arm wins is its chance
FLOOR = 0.05  # share of the requests that is spread evenly


class State(NamedTuple):
    """Discounted answers, rewards and importance-weighted losses of each arm, (..., arms).

    Examples
    --------
    >>> State(np.array([8.0, 4.0]), np.array([6.0, 1.0]), np.zeros(2)).rewards.tolist()
    [6.0, 1.0]
    """

    answers: np.ndarray
    rewards: np.ndarray
    losses: np.ndarray


def fresh(*shape: int) -> State:
    """Nothing is known; the last number is that of the arms.

    Examples
    --------
    >>> fresh(500, 2).answers.shape
    (500, 2)
    >>> chances("thompson", fresh(2), np.random.default_rng(7)).sum().round(9).tolist()
    1.0
    """
    return State(*(np.zeros(shape) for _ in State._fields))


def learn(state: State, counts: np.ndarray, rewards: np.ndarray, asked: np.ndarray, discount: float = 1.0) -> State:
    """Take answers that came.

    Parameters
    ----------
    counts, rewards
        Answers by arm, and the sum of their rewards between 0 and 1.
    asked
        Chance of each arm when these were asked.
    discount
        What all before is multiplied by for each answer: 0.999 forgets within about a thousand.

    Examples
    --------
    >>> state = learn(fresh(2), np.array([8, 4]), np.array([6.0, 1.0]), np.array([0.5, 0.5]))
    >>> state.answers.tolist(), state.rewards.tolist()
    ([8.0, 4.0], [6.0, 1.0])
    """
    kept = discount ** counts.sum(axis=-1, keepdims=True)
    implicit = _rate(state.answers) / 2
    lost = (counts - rewards) / (asked + implicit)
    return State(state.answers * kept + counts, state.rewards * kept + rewards, state.losses * kept + lost)


def chances(policy: str, state: State, rng: np.random.Generator) -> np.ndarray:
    """Chance of each arm to be asked next, (..., arms): never below :data:`FLOOR` shared by the arms.

    ``thompson``: how often an arm is the best in draws of a Beta posterior (Thompson, 1933). ``ucb``: the arm with the
    highest bound that knows the variance (Audibert, Munos and Szepesvari, 2009). ``exp3-ix``: exponential weights with
    implicit exploration, against rewards of any kind (Neu, 2015).

    Examples
    --------
    >>> state = learn(fresh(2), np.array([100, 100]), np.array([80.0, 40.0]), np.array([0.5, 0.5]))
    >>> rng = np.random.default_rng(7)
    >>> [chances(policy, state, rng).round(3).tolist() for policy in ("thompson", "ucb", "exp3-ix")]
    [[0.975, 0.025], [0.975, 0.025], [0.907, 0.093]]
    """
    arms = state.answers.shape[-1]
    if policy == "exp3-ix":
        rate = _rate(state.answers)
        weight = np.exp(-rate * (state.losses - state.losses.min(axis=-1, keepdims=True)))
        best = weight / weight.sum(axis=-1, keepdims=True)
    elif policy == "ucb":
        best = np.eye(arms)[_bounds(state).argmax(axis=-1)]
    else:
        lost = np.maximum(state.answers - state.rewards, 0.0)
        draws = rng.beta(1 + state.rewards, 1 + lost, (_DRAWS, *state.answers.shape))
        best = np.eye(arms)[draws.argmax(axis=-1)].mean(axis=0)
    return (1 - FLOOR) * best + FLOOR / arms


def _rate(answers: np.ndarray) -> np.ndarray:
    """Rate of the exponential weights, which falls with what is known."""
    arms = answers.shape[-1]
    return np.sqrt(2 * np.log(arms) / (arms * (1 + answers.sum(axis=-1, keepdims=True))))


def _bounds(state: State) -> np.ndarray:
    n = np.maximum(state.answers, 1e-9)
    mean = state.rewards / n
    known = np.log(np.maximum(state.answers.sum(axis=-1, keepdims=True), 2.0))
    bound = mean + np.sqrt(2 * np.maximum(mean * (1 - mean), 0) * known / n) + known / n
    return np.where(state.answers < 1, np.inf, bound)
