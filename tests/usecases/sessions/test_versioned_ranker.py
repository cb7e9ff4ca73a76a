"""Item vectors of a version: between two they stay, and a new one makes the ranker stale and trains it anew."""

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from visits import NAMES, questions_of, random_clicks

from rtml.core.clock import NEVER
from rtml.core.state import dumps, loads
from rtml.models import catalogue
from rtml.models.compiled import compile, restore
from rtml.training.learner import Learner
from rtml.usecases.sessions.kernels import ranking
from rtml.usecases.sessions.models import MODELS, Ranking, Versioned
from rtml.usecases.sessions.session_model import START

HOW = Versioned(Ranking(k=5, neighbours=7, recent=9, sessions=64, dimension=4, rate=0.5), every=40, window=30)
QUESTIONS = questions_of(random_clicks(300, items=12))


def push(learner, start, stop):
    """Ask questions of places and tell what is known before the next one; the lists."""
    last = int(QUESTIONS.moment[stop]) - 1 if stop < len(QUESTIONS) else NEVER
    return learner.replay(QUESTIONS[start:stop], last)


def until(answers):
    """A model that has learned exactly so many answers."""
    model = compile(HOW, NAMES)
    rows = (i for i in np.argsort(QUESTIONS.known, kind="stable") if QUESTIONS.y[i] == QUESTIONS.y[i])
    for i in islice(rows, answers):
        model.learn_at(QUESTIONS.X[i], float(QUESTIONS.y[i]), None, 0, int(QUESTIONS.known[i]))
    assert model.versions["answers"] == answers
    return model


def test_vectors_learn_behind_the_version_that_serves_and_are_those_of_the_model_of_vectors_alone():
    learner, alone = Learner(HOW, NAMES), Learner(Ranking("vectors", k=5, dimension=4, rate=0.5, sessions=64), NAMES)
    seen, items, published = {}, list(range(12)), 0
    for at in range(len(QUESTIONS)):
        push(learner, at, at + 1)
        push(alone, at, at + 1)
        model, found = learner.model, learner.model.vector(items[:3]).tobytes()
        version, answers = model.versions["vectors"], model.versions["answers"]
        assert version == answers // 40 == model.versions["ranker"] and not model.stale
        if version and answers % 40 == 0:
            published += 1
            assert found == alone.model.vector(items[:3]).tobytes(), "the version is what was learned by then"
        assert seen.setdefault(version, found) == found or not version, "and stays"
    assert len(set(seen.values())) == len(seen) >= 4 <= published, "each version is another one"


def test_a_new_version_makes_the_ranker_stale_and_it_learns_its_newest_answers_again():
    before, model = until(39), until(40)
    weights, squares = np.array(START), np.zeros(ranking.WIDTH)
    assert len(model._recent) == 30
    for x, y, kept in model._recent:
        k, listed = 5, int(np.isfinite(kept[5:10]).sum())
        F = kept[10:].reshape(k, ranking.WIDTH)[:listed]
        items = x[6:][x[6:] >= 0].astype(int)
        mean = model.vector(items[::-1])
        memory, ids = model._ranker._memory, model._ranker._memory.ids.tolist()
        fit = [float(mean @ memory.contexts[ids.index(int(item))]) for item in kept[:listed]]
        assert np.allclose(F[:, 6], fit, rtol=1e-5, atol=1e-7), "by the new vectors, whatever it was asked with"
        if y in kept[:listed]:
            scores = np.array([sum(w * f for w, f in zip(weights, row, strict=True)) for row in F])
            chance = np.exp(scores - scores.max())
            chance /= chance.sum()
            slope = F[kept[:listed].tolist().index(y)].copy()
            for share, row in zip(chance, F, strict=True):  # in the kernel's order: AdaGrad makes much of little
                slope -= share * row
            squares += slope**2
            weights += np.where(squares > 0, 0.05 * slope / np.sqrt(np.maximum(squares, 1e-300)), 0.0)
    assert np.allclose(list(model.weights.values()), weights, rtol=1e-6)
    assert not np.allclose(list(before.weights.values()), weights, rtol=1e-3)


def test_what_was_asked_by_a_version_before_is_learned_by_the_vectors_of_now():
    model = until(40)
    x, y, _ = model._recent[-1]
    fresh = model.predict_at(x, 0)
    older = fresh.copy()
    older[-1] = 0.0
    older[10:-1].reshape(5, ranking.WIDTH)[:, 6] = 99.0
    model.learn_at(x, y, older, 0, 10**19 // 2)
    assert np.array_equal(model._recent[-1][2], fresh[:-1], equal_nan=True), "to the last bit"


@settings(max_examples=6, deadline=None)
@given(cuts=st.lists(st.integers(0, 300), max_size=4))
def test_any_cutting_and_any_pause_gives_the_same_lists_and_state(cuts):
    whole, learner, parts = Learner(HOW, NAMES), Learner(HOW, NAMES), []
    lists, edges = whole.replay(QUESTIONS), [0, *sorted(cuts), len(QUESTIONS)]
    for start, stop in pairwise(edges):
        parts.append(push(learner, start, stop))
        again = Learner(HOW, NAMES)
        again.load(loads(dumps(learner.state)))
        learner = again
    assert np.array_equal(np.concatenate(parts), lists, equal_nan=True)
    assert dumps(learner.state) == dumps(whole.state)
    made = restore(loads(dumps(whole.model.state)))
    assert np.array_equal(made.predict(QUESTIONS.X[-1]), whole.model.predict(QUESTIONS.X[-1]), equal_nan=True)


def test_it_is_named_and_bad_schedules_say_what_is_right():
    assert catalogue.build("versioned_ranker") is MODELS["versioned_ranker"]
    with pytest.raises(ValueError, match="those of a ranker, got a ranking by 'sknn'"):
        Versioned(Ranking("sknn"))
    with pytest.raises(ValueError, match="every and window must be at least 1 answer, got 0 and 2000"):
        Versioned(every=0)
    with pytest.raises(ValueError, match=r"another model than this Versioned\(Ranking\(ranker, k=5"):
        until(1).load(Learner(Versioned(), NAMES).model.state)
