"""A text is a feature like any other: cached by content, versioned by weights, a default where it takes too long."""

import threading
from contextlib import closing

import numpy as np
import pytest

from rtml.core.questions import Questions
from rtml.evaluation.ablation import helps
from rtml.features.feature_set import Feature, FeatureSet, column
from rtml.integrations.text import Text, hashed_words

AMOUNT = Feature("amount", column("amount"), "EUR", "what is paid")


def test_it_is_declared_beside_other_features_and_the_weights_are_part_of_the_definition():
    with closing(Text("note", hashed_words, "w1", size=8)) as note:
        features = FeatureSet([AMOUNT, *note.features()], columns=["amount", *note.columns])
        table = note.expand({"amount": [5.0, 7.0, 1.0], "note": ["rent for may", None, "rent for may"]})
        X = features.push(np.arange(3), table)
        assert np.array_equal(X[0, 1:], hashed_words(["rent for may"])[0, :8]) and X[0, 0] == 5.0
        assert np.array_equal(X[2, 1:], X[0, 1:]) and not X[1, 1:].any(), "no text is the default"
        assert np.array_equal(features.push([3], note.expand({"amount": [5.0], "note": ["rent for may"]}))[0], X[0])
    other = Text("note", hashed_words, "w2", size=8)
    other.close()
    assert (
        FeatureSet(other.features(), other.columns).definition != FeatureSet(note.features(), note.columns).definition
    )


def test_a_text_that_was_seen_is_not_embedded_again_and_the_cache_is_bounded():
    asked = []

    def encoder(texts):
        asked.extend(texts)
        return np.full((len(texts), 4), float(len(asked)))

    with closing(Text("note", encoder, "v", size=4, patience=10.0, kept=2)) as note:
        assert note.embed(["a", "b", "a"])[:, 0].tolist() == [1.0, 2.0, 1.0]
        assert note.embed(["b", "a"])[:, 0].tolist() == [2.0, 1.0] and asked == ["a", "b"]
        note.embed(["c"])
        assert note.embed(["b"])[0, 0] == 4.0 and asked == ["a", "b", "c", "b"], "the one used longest ago was dropped"
        assert note.counts == {"embedded": 4, "cached": 2}


def test_what_takes_too_long_is_the_default_now_and_there_the_next_time():
    free = threading.Event()

    def slow(texts):
        assert free.wait(30)
        return np.ones((len(texts), 4))

    with closing(Text("note", slow, "v", size=4, patience=0.01)) as note:
        assert not note.embed(["a"]).any() and note.counts["late"] == 1
        free.set()
        note._waiting[next(iter(note._waiting))].result(30)
        assert note.embed(["a"]).all() and note.counts["embedded"] == 1


def test_an_encoder_that_fails_costs_the_text_and_not_the_prediction():
    with closing(Text("note", lambda texts: np.full((1, 4), np.nan), "v", size=4, patience=10.0)) as note:
        assert not note.embed(["a"]).any() and note.counts == {"failed": 1}
    with pytest.raises(ValueError, match="an encoder of your own needs a version"):
        Text("note", hashed_words)


TOPICS = {  # phrases of a kind share a meaning and hardly a word
    0: ["monthly rent of the flat", "apartment lease payment", "housing costs in june", "landlord, room in town"],
    1: ["crypto coins, urgent", "bitcoin wallet transfer now", "quick token investment", "buy ethereum at once"],
}


def test_the_real_model_helps_on_notes_whose_meaning_matters():
    pytest.importorskip("wordllama", reason="the optional extra rtml[text] is not installed")
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 2, 600)
    notes = [TOPICS[k][rng.integers(0, 4)] + f" {rng.integers(0, 99)}" for k in kind.tolist()]
    with closing(Text("note", size=16, patience=60.0)) as note:
        amount = rng.normal(size=600)
        features = FeatureSet([AMOUNT, *note.features()], columns=["amount", *note.columns])
        X = features.push(np.arange(600), note.expand({"amount": amount, "note": notes}))
        assert note.embed(notes).std() > 0 and note.counts["cached"] > 0 and len(note.version) == 8
    moment = np.arange(1, 601, dtype=np.int64) * 10**9
    y = 0.3 * amount + 2.0 * kind + rng.normal(0, 0.5, 600)
    questions = Questions(np.arange(600), moment, X, y, moment + 1, features.names)
    assert helps(note.columns, questions, "rls_all").comparison.better == "with"
