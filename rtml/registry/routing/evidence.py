"""Evidence that may be looked at after every answer: capital of bets that cannot grow where nothing is different.

Each is an e-process: of tests without a difference at most one in twenty ever sees its capital at 20, however often one
looks (Ville's inequality; Ramdas, Grunwald, Vovk and Shafer, 2023). Bets are in the last axis of an array, so that one
function serves a live test and five hundred simulated ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

RISKS = np.array([1.5, 2.0, 3.0, 5.0])  #: how many times as often the second may fail: a bet each
STAKES = 0.5 ** np.arange(1, 11)  #: shares of the capital that are put on a difference: a bet each
_PRIOR = 100.0  # units that the expected shares are worth, of the sample-ratio check


def capital(bets: np.ndarray) -> np.ndarray:
    """Log of the mean capital of bets whose logs are in the last axis.

    Examples
    --------
    >>> np.exp(capital(np.log([[1.0, 3.0], [4.0, 6.0]]))).round(6)
    array([2., 5.])
    """
    highest = bets.max(axis=-1)
    return highest + np.log(np.exp(bets - highest[..., None]).mean(axis=-1))


def failure(seconds: bool, share) -> np.ndarray:
    """What one failure adds to the logs of bets that the second arm fails more often, (..., 4).

    Given a failure, it is the second's with its share of the requests where both fail equally often, and with
    ``k share / (k share + 1 - share)`` where it fails ``k`` times as often. Requests that do not fail say nothing more,
    so the rate of failures may change as it likes.

    Parameters
    ----------
    seconds
        Whether it is the second arm that failed.
    share
        The second's share of both arms' requests at that time.

    Examples
    --------
    >>> never = sum(failure(False, 0.05) for _ in range(19)) + failure(True, 0.05)
    >>> bool(capital(never) < 0 < capital(6 * failure(True, 0.05)))
    True
    """
    other = -np.log1p(np.asarray(share, float)[..., None] * (RISKS - 1.0))
    return other + np.log(RISKS) if seconds else other


def difference(gain, floor) -> np.ndarray:
    """What one answer adds to the logs of bets that the mean gain is above zero, (..., 10).

    ``gain`` is known to lie within ``1 / floor`` of zero; of losses between 0 and 1 it is ``(loss - centre) / p`` for
    the first arm, the same with a minus for the second, where ``p`` is the chance that this arm had to be asked, at
    least ``floor``, and ``centre`` any number known before. Its mean is the difference of both losses, whatever chose
    the arms (importance weighting: Waudby-Smith et al., Anytime-valid off-policy inference, 2022).

    Examples
    --------
    >>> bool(capital(sum(difference(2 * gain, 0.5) for gain in [0.9, 0.8, -0.1] * 9)) > math.log(20))
    True
    """
    return np.log1p(STAKES * np.asarray(floor)[..., None] * np.asarray(gain, float)[..., None])


def mismatch(counts: Mapping[str, int], weights: Mapping[str, float]) -> float:
    """Log evidence that units do not come in the shares that were set: the sample-ratio check, valid at every look.

    The Bayes factor of unknown shares near the expected ones against these (Lindon and Malek, 2022).

    Examples
    --------
    >>> weights = {"a": 0.5, "b": 0.5}
    >>> [mismatch({"a": a, "b": 10_000 - a}, weights) > math.log(20) for a in (5000, 5080, 5250)]
    [False, False, True]
    """
    n = sum(counts.get(arm, 0) for arm in weights)
    log_e = math.lgamma(_PRIOR) - math.lgamma(_PRIOR + n)
    for arm, weight in weights.items():
        count = counts.get(arm, 0)
        if weight:
            log_e += math.lgamma(_PRIOR * weight + count) - math.lgamma(_PRIOR * weight) - count * math.log(weight)
        elif count:
            return math.inf
    return log_e
