"""A concept that comes back is recognised, and its model serves again long before it could be learned anew."""

import numpy as np
import pytest
from drifting import NAMES, drifting
from hypothesis import given, settings
from hypothesis import strategies as st
from recurring import Recurring

from rtml.core.state import dumps, loads
from rtml.evaluation.progressive import progressive
from rtml.models.catalogue import build
from rtml.models.compiled import restore
from rtml.training.learner import Learner

TURNS = np.arange(1, 8) / 8


def until_the_old_level(loss, starts, window=50):
    """Answers from each change until the mean loss of a window is within a quarter of what it was before."""
    found = []
    for start, end in zip(starts, np.append(starts, len(loss))[1:], strict=True):
        moving = np.convolve(loss[start:end], np.ones(window) / window, "valid")
        back = np.flatnonzero(moving <= 1.25 * loss[start - 1000 : start].mean())
        found.append(back[0] + window if len(back) else end - start)
    return np.array(found)


def progress(model, kind="recurring", seed=0, task="regression", **how):
    stream = drifting(kind, n=16_000, seed=seed, task=task, **how)
    done = progressive(model, stream.questions)
    starts = np.searchsorted(stream.questions.moment, stream.changes)
    return (done.predictions - done.y) ** 2, starts, done.learner.model


@pytest.mark.parametrize(("name", "task"), [("rls", "regression"), ("logistic", "classification")])
def test_it_is_back_at_its_old_level_in_fewer_answers_than_relearning_takes(name, task):
    plain, starts, _ = progress(build(name), task=task, seed=1, changes=TURNS)
    loss, _, model = progress(Recurring(build(name), NAMES), task=task, seed=1, changes=TURNS)
    relearned, reused = until_the_old_level(plain, starts)[1:], until_the_old_level(loss, starts)[1:]
    assert model.reused == 6 and len(model.pool) == 2
    assert (reused <= 200).all() and np.median(reused) < 0.5 * np.median(relearned)
    assert loss.mean() < 0.85 * plain.mean()


def test_new_concepts_are_learned_and_no_old_one_is_taken_for_them():
    loss, _, model = progress(Recurring(build("rls"), NAMES, keep=3), "sudden", 2, changes=TURNS[1::2])
    plain, _, _ = progress(build("rls"), "sudden", 2, changes=TURNS[1::2])
    assert loss.mean() < 1.02 * plain.mean() and 1 <= len(model.pool) <= 3


def test_where_nothing_drifts_it_is_the_model_it_holds():
    loss, _, model = progress(Recurring(build("rls"), NAMES), "none")
    plain, _, _ = progress(build("rls"), "none")
    assert np.array_equal(loss, plain) and model.pool == [] and model.reused == 0


@settings(max_examples=8)
@given(places=st.lists(st.integers(0, 3000), max_size=5).map(sorted))
def test_any_cutting_gives_the_same_bits_even_with_a_restart_at_each_cut(places):
    asked = drifting("recurring", n=3000, task="regression", delay="10m").questions
    make = lambda: Learner(Recurring(build("rls"), NAMES, snapshot=100, keep=2), NAMES)  # noqa: E731
    whole, cut, found = make(), make(), []
    expected = whole.replay(asked)
    for start, end in zip([0, *places], [*places, 3000], strict=True):
        again = make()
        again.load(loads(dumps(cut.state)))
        found.append(again.replay(asked[start:end], until=asked.moment[end] - 1 if end < 3000 else 2**62))
        cut = again
    assert np.array_equal(np.concatenate(found), expected)
    assert whole.model.reused and dumps(cut.model.state) == dumps(whole.model.state)


def test_a_server_answers_from_the_current_model_and_a_copy_goes_on_from_the_state():
    _, _, model = progress(Recurring(build("rls"), NAMES))
    x = np.arange(6.0)
    assert restore(model.state).predict(x) == model.predict(x)
    again = Recurring.of(loads(dumps(model.state)))
    for each in (model, again):
        each.learn(x, 3.0)
    assert dumps(again.state) == dumps(model.state)
    with pytest.raises(ValueError, match=r"the state is of a recurring model of x1, .* with .*'keep': 5"):
        Recurring(build("rls"), NAMES, keep=2).load(model.state)
