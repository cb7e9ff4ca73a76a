"""The figures of the seeded shop, which the notebooks print, are those of the code as it is."""

import numpy as np
import pytest

from rtml.core.clock import NEVER
from rtml.core.questions import Questions
from rtml.evaluation.progressive import progressive
from rtml.models import catalogue
from rtml.usecases.sessions.events import CLICKS
from rtml.usecases.sessions.operator import Visits
from rtml.usecases.sessions.ranking_metrics import gains
from rtml.usecases.sessions.shop import Shop

GOLDEN = {"recall": 0.8005, "mrr": 0.3352}  # session_ranker, second half of two days, learning on


def test_two_days_of_the_shop_give_the_golden_figures():
    visits = Visits()
    asked = visits.push(CLICKS.accept(next(Shop(seed=7, days=2).chunks()))[0])
    y, known = np.full(len(asked.id), np.nan), np.full(len(asked.id), NEVER)
    y[asked.answered], known[asked.answered] = asked.y, asked.known
    q = Questions(asked.id, asked.moment, asked.X, y, known, visits.features.names)
    lists = progressive(catalogue.build("session_ranker"), q).predictions
    half = len(q) // 2
    found = np.nanmean(gains(q.y[half:], lists[half:], 20), axis=0)
    assert dict(zip(("recall", "mrr"), found.tolist(), strict=False)) == pytest.approx(GOLDEN, abs=0.003)
