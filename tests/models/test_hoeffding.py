"""The compiled Hoeffding tree is river's: the same nodes and probabilities, whatever the stream and the leaves."""

import handed
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import tree
from river.tree.splitter import GaussianSplitter, HistogramSplitter
from streams import NAMES, by_hand, cut_and_by_hand, cuts, stream, streams

from rtml.core import state as checkpoint
from rtml.core.clock import NEVER
from rtml.core.questions import Questions
from rtml.evaluation.progressive import progressive
from rtml.kernels import hoeffding as parts
from rtml.models.compiled import compile, restore
from rtml.models.hoeffding import CompiledTree
from rtml.training.learner import Learner

FRAUD = handed.DATA / "fraud"

TREES = {
    "adaptive": {"grace_period": 20, "delta": 0.01},
    "naive Bayes": {"leaf_prediction": "nb", "grace_period": 20, "delta": 0.1, "nb_threshold": 5},
    "majority": {"leaf_prediction": "mc", "grace_period": 15, "tau": 0.5},
    "shallow": {"max_depth": 2, "grace_period": 10, "tau": 0.9},
    "rare": {"max_share_to_split": 1.0, "grace_period": 10, "tau": 0.5, "min_branch_fraction": 0.0},
    "few thresholds": {"splitter": GaussianSplitter(n_splits=3), "grace_period": 20, "delta": 0.2},
}


def concept(n, seed=11, d=10, rare=0.0):
    """Boxes of ten features with a tenth of the labels wrong, or rare ones: a tree must grow to know them."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, d)).round(3)
    inside = (X[:, 0] > 0.3) & (X[:, 3] < 0.6)
    y = np.where(inside, (X[:, 1] > 0.7) | (X[:, 5] < 0.2), X[:, 2] + X[:, 7] > 1.0)
    y = y ^ (rng.random(n) < 0.1) if not rare else y & (X[:, 4] < rare)
    moment = 10 * np.arange(n)
    return Questions(np.arange(n), moment, X, y.astype(float), moment + 5, tuple(f"f{j}" for j in range(d)))


def of_river(model, questions):
    """Probabilities of river itself, asked and told in order."""
    rows = [dict(zip(questions.names, row, strict=True)) for row in questions.X.tolist()]

    def ask(i):
        odds = model.predict_proba_one(rows[i])
        return odds.get(True, 0.0) if odds else 0.5

    def tell(i):
        if np.isfinite(questions.y[i]):
            model.learn_one(rows[i], bool(questions.y[i]))

    return by_hand(questions, ask, tell)


def nodes_of(model):
    """Feature, threshold and depth of every branch of a river tree, from the root, left first."""
    found, waiting = [], [model._root]
    while waiting:
        node = waiting.pop()
        if hasattr(node, "children"):
            found.append((node.feature, node.threshold))
            waiting += node.children[::-1]
    return found


def nodes_of_twin(twin):
    """The same of a compiled tree."""
    found, waiting = [], [1]
    while waiting:
        node = twin._table[waiting.pop()]
        if node[parts.FEATURE] >= 0:
            found.append((twin.names[int(node[parts.FEATURE])], node[parts.THRESHOLD]))
            waiting += [int(node[parts.RIGHT]), int(node[parts.LEFT])]
    return found


@pytest.mark.parametrize("name", TREES)
def test_it_has_the_nodes_and_the_probabilities_of_river(name):
    questions = concept(3000, seed=len(name))
    model = tree.HoeffdingTreeClassifier(**TREES[name])
    progress = progressive(model, questions)
    assert isinstance(progress.learner.model, CompiledTree)
    assert np.abs(progress.predictions - of_river(model, questions)).max() < 1e-9
    assert len(nodes_of(model)) > 2 and nodes_of_twin(progress.learner.model) == [
        (feature, pytest.approx(threshold, rel=1e-12)) for feature, threshold in nodes_of(model)
    ]


@pytest.mark.parametrize("name", TREES)
@settings(max_examples=30)
@given(questions=streams(sign=True))
def test_it_answers_as_river_does_on_any_stream(name, questions):
    settings_ = {**TREES[name], "grace_period": 3, "delta": 0.5}
    expected = of_river(tree.HoeffdingTreeClassifier(**settings_), questions)
    got = progressive(tree.HoeffdingTreeClassifier(**settings_), questions).predictions
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_columns_that_never_vary_and_values_that_repeat_are_taken_as_river_takes_them():
    rng = np.random.default_rng(2)
    X = rng.integers(0, 3, (2000, 4)).astype(float)
    X[:, 2] = 7.0
    y = (X[:, 0] == 1).astype(float)
    at = 10 * np.arange(2000)
    questions = Questions(np.arange(2000), at, X, y, at + 5, NAMES)
    model = tree.HoeffdingTreeClassifier(grace_period=25, max_share_to_split=1.0)
    got = progressive(model, questions).predictions
    assert np.abs(got - of_river(model, questions)).max() < 1e-9 and len(nodes_of(model)) > 1


def test_rivers_defaults_never_split_on_rare_labels_and_one_parameter_changes_that():
    questions = concept(20_000, rare=0.01)
    assert 0.002 < questions.y.mean() < 0.009
    plain = progressive(tree.HoeffdingTreeClassifier(), questions).learner.model
    split = progressive(tree.HoeffdingTreeClassifier(max_share_to_split=1.0), questions).learner.model
    assert plain.nodes == 1 and split.nodes > 3
    assert split.describe() == "HoeffdingTreeClassifier(max_share_to_split=1)"
    assert split.weights["f4"] > 0 and sum(split.weights.values()) == (split.nodes - 1) / 2


@pytest.mark.skipif(not FRAUD.exists(), reason="the recorded transactions are not beside this repository")
def test_it_is_rivers_on_recorded_transactions():
    columns = ["amount", "hour", "card", "terminal"]
    frame = pd.read_parquet(next(FRAUD.glob("card_transactions*.parquet"))).head(10_000)
    frame = frame.assign(card=frame.customer_id, terminal=frame.terminal_id, hour=frame.ts.dt.hour)
    at = np.arange(len(frame)) * 10
    y = frame.is_fraud.to_numpy(float)
    questions = Questions(np.arange(len(frame)), at, frame[columns].to_numpy(float), y, at + 701, tuple(columns))
    model = tree.HoeffdingTreeClassifier(max_share_to_split=1.0, grace_period=50, delta=0.01)
    got = progressive(model, questions)
    assert np.abs(got.predictions - of_river(model, questions)).max() < 1e-9
    assert got.learner.model.nodes == model.n_nodes > 3


@settings(max_examples=30)
@given(data=st.data())
def test_any_cutting_gives_the_same_bits(data):
    questions = data.draw(streams(sign=True))

    def learner():
        return Learner(tree.HoeffdingTreeClassifier(grace_period=2, delta=0.5, tau=0.9), NAMES)

    whole, cut, live = cut_and_by_hand(learner, questions, data.draw(cuts(len(questions))))
    assert checkpoint.dumps(cut.model.state) == checkpoint.dumps(whole.model.state)
    assert checkpoint.dumps(live.model.state) == checkpoint.dumps(whole.model.state)


def test_room_for_nodes_grows_and_a_state_restores_itself():
    questions = concept(4000)
    model = compile(tree.HoeffdingTreeClassifier(grace_period=10, tau=0.9), questions.names)
    order = np.arange(len(questions))
    model.replay(questions.X, questions.y, questions.moment, questions.known, order, NEVER)
    assert model.nodes > 130  # there was room for 64
    state = checkpoint.dumps(model.state)
    again = restore(checkpoint.loads(state))
    assert checkpoint.dumps(again.state) == state and len(again._table) < len(model._table)
    for each in (model, again):
        for i in range(200):
            each.learn(questions.X[i], questions.y[i])
    assert checkpoint.dumps(again.state) == checkpoint.dumps(model.state)
    assert again.predict(list(questions.X[5])) == model.predict(questions.X[5].astype(np.float32).astype(float))


def test_what_is_no_row_or_no_label_is_refused_and_changes_nothing():
    model = compile(tree.HoeffdingTreeClassifier(), NAMES)
    model.learn(stream(1).X[0], 1.0)
    before = checkpoint.dumps(model.state)
    for row, sentence in (
        ([1.0, np.inf, 0.0, 0.0], "feature 'flow' must be a finite number, got inf"),
        ([1.0, 2.0], r"a row must have 4 numbers .*, got shape \(2,\)"),
        (np.ones((1, 4)), r"a row must have 4 numbers .*, got shape \(1, 4\)"),
    ):
        with pytest.raises(ValueError, match=sentence):
            model.predict(row)
        with pytest.raises(ValueError, match=sentence):
            model.learn(row, 1.0)
    for label, sentence in ((0.5, "must be 0 or 1, got 0.5"), (np.nan, "must be a finite number, got nan")):
        with pytest.raises(ValueError, match=sentence):
            model.learn(np.ones(4), label)
    assert checkpoint.dumps(model.state) == before
    with pytest.raises(ValueError, match="the state is of another model than this HoeffdingTreeClassifier"):
        compile(tree.HoeffdingTreeClassifier(tau=0.2), NAMES).load(model.state)


@pytest.mark.parametrize(
    "other",
    [
        tree.HoeffdingTreeClassifier(split_criterion="gini"),
        tree.HoeffdingTreeClassifier(splitter=HistogramSplitter()),
        tree.HoeffdingTreeClassifier(nominal_attributes=["flow"]),
        tree.HoeffdingTreeClassifier(merit_preprune=False),
        tree.HoeffdingTreeClassifier(remove_poor_attrs=True),
        tree.HoeffdingAdaptiveTreeClassifier(seed=1),
    ],
    ids=repr,
)
def test_other_trees_run_in_river(other):
    assert compile(other, NAMES).kind == "river"


def test_a_tree_that_has_learned_runs_in_river():
    model = tree.HoeffdingTreeClassifier()
    model.learn_one(dict.fromkeys(NAMES, 1.0), True)
    assert compile(model, NAMES).kind == "river"
