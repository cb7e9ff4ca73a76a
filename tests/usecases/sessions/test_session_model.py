"""Session models: equal to plain Python where that is the oracle, and the same however the stream is cut."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from visits import NAMES, S, questions_of, random_clicks

from rtml.core.state import dumps, loads
from rtml.models import catalogue
from rtml.models.compiled import compile, restore
from rtml.training.learner import Learner
from rtml.usecases.sessions.events import CLICKS
from rtml.usecases.sessions.kernels import neighbours
from rtml.usecases.sessions.models import KINDS, MODELS, Ranking
from rtml.usecases.sessions.ranking_metrics import gains
from rtml.usecases.sessions.shop import Shop


@pytest.fixture(scope="module")
def shop():
    shop = Shop(seed=7, days=2, visits=400)
    return shop, questions_of(CLICKS.accept(next(shop.chunks()))[0])


def rank_of(kind):
    return Ranking(kind, k=5, neighbours=7, recent=9, sessions=64, dimension=4)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(0, 400), max_size=5), seed=st.integers(0, 9))
def test_any_cutting_gives_the_same_lists_and_state(kind, cuts, seed):
    """With few places for sessions, so that old ones give way, and through a checkpoint at every cut."""
    asked = questions_of(random_clicks(seed=seed))
    whole, cut = Learner(rank_of(kind), NAMES), Learner(rank_of(kind), NAMES)
    once, parts, places = whole.replay(asked), [], [0, *sorted(cuts), len(asked)]
    for a, b in pairwise(places):
        parts.append(cut.replay(asked[a:b], int(asked.moment[b - 1]) if 0 < b < len(asked) else 2**63 - 1))
        resumed = Learner(rank_of(kind), NAMES)
        resumed.load(loads(dumps(cut.state)))
        cut = resumed
    assert once.tobytes() == np.concatenate(parts).tobytes()
    assert dumps(whole.state) == dumps(cut.state)


@pytest.mark.parametrize("kind", KINDS)
def test_one_by_one_gives_the_same_as_a_chunk(kind):
    asked = questions_of(random_clicks(200))
    whole, live = Learner(rank_of(kind), NAMES), Learner(rank_of(kind), NAMES)
    lists, order, told = whole.replay(asked), np.argsort(asked.known, kind="stable"), 0
    for i in range(len(asked)):
        while asked.known[order[told]] < asked.moment[i]:
            live.tell(order[told], asked.y[order[told]], asked.known[order[told]])
            told += 1
        assert live.ask(i, asked.moment[i], asked.X[i]).tobytes() == lists[i].tobytes()
    for row in order[told:]:
        live.tell(row, asked.y[row], asked.known[row])
    assert dumps(whole.state["model"]) == dumps(live.state["model"])
    again = restore(loads(dumps(live.state["model"])))
    assert again.predict(asked.X[-1]).tobytes() == live.model.predict(asked.X[-1]).tobytes()


def scores_by_hand(kind, asked, k, now=10**18):
    """Scores of V-S-KNN, S-KNN and Markov for the last question, from all answers that came before."""
    held, seen = {}, {}
    follow = Counter()
    for x, y, known in zip(asked.X[:-1], asked.y[:-1], asked.known[:-1], strict=True):
        if y != y or known >= asked.moment[-1]:
            continue
        me, so_far = int(x[0]), [int(i) for i in x[6:] if i >= 0][::-1]
        held[me], seen[me] = [*so_far, int(y)], known
        if so_far[-1] == int(asked.X[-1, 6]):
            follow[int(y)] += 1
    if kind == "successors":
        return {item: n / sum(follow.values()) for item, n in follow.items()}
    me, own = int(asked.X[-1, 0]), [int(i) for i in asked.X[-1, 6:] if i >= 0][::-1]
    weight = {item: 1.0 if kind == "sknn" else (p + 1) / len(own) for p, item in enumerate(own)}
    near = {}
    for other, items in held.items():
        shared = sum(weight.get(item, 0.0) for item in set(items))
        if other != me and shared:
            near[other] = shared / math.sqrt(len(weight) * len(set(items)))
    score = Counter()
    for other in sorted(near, key=lambda s: (near[s], s), reverse=True)[:k]:
        for item in set(held[other]):
            score[item] += near[other]
    return {item: value / sum(score.values()) for item, value in score.items()}


@pytest.mark.parametrize("kind", ["sknn", "vsknn", "successors"])
@pytest.mark.parametrize("seed", range(6))
def test_neighbours_and_successors_equal_plain_python(kind, seed):
    asked = questions_of(random_clicks(300, seed=seed))
    how = Ranking(kind, k=64, neighbours=8, steps=1)
    for end in range(60, 300, 17):
        learner, part = Learner(how, NAMES), asked[:end]
        learner.replay(part, int(part.moment[-1]) - 1)
        said = learner.model.predict_at(part.X[-1], 0)
        got = dict(zip(said[:64].tolist(), said[64:128].tolist(), strict=True))
        got = {int(item): score for item, score in got.items() if score == score}
        want = scores_by_hand(kind, part, 8)
        if kind == "successors":  # of equally frequent ones the newest comes first by a trace
            assert got.keys() == want.keys() and all(got[i] == pytest.approx(want[i], rel=1e-4) for i in got)
        else:
            assert got.keys() == want.keys() and all(got[i] == pytest.approx(want[i], rel=1e-9) for i in got)


def test_popular_is_what_was_clicked_most_where_old_clicks_fade():
    events = random_clicks(2_000, items=200, seed=3)
    asked = questions_of(events)
    learner = Learner(Ranking("popular", k=20, half_life="6h"), NAMES)
    learner.replay(asked)
    weight = Counter()
    for x, y, known in zip(asked.X, asked.y, asked.known, strict=True):
        if y == y:
            now = 2.0 ** ((int(known) - 10**18) / (6 * 3600 * S))
            weight[y] += now
            weight[x[6]] += now if x[1] == 1 else 0.0
    best = [item for item, _ in weight.most_common(20)]
    assert learner.model.predict(asked.X[0]).tolist() == best


def test_popularity_stays_finite_over_ten_years():
    model = compile(Ranking("popular", k=2, half_life="1d"), NAMES)
    row = np.r_[0.0, 2.0, 0.0, 0.0, 5.0, 5.0, np.full(18, -1.0)]
    for day in range(0, 3650, 5):
        model.learn_at(row, 7.0 + (day > 3000), None, 0, 10**18 + day * 86_400 * S)
    assert model.predict(row).tolist() == [8.0, 7.0]


def test_the_vector_of_a_session_is_the_mean_of_its_items(shop):
    """D2."""
    learner = Learner(MODELS["item_vectors"], NAMES)
    learner.replay(shop[1])
    memory = learner.model.state
    row = {int(id): k for k, id in enumerate(memory["ids"])}
    items = [int(memory["ids"][k]) for k in (3, 50, 7, 3)]
    want = np.mean([memory["vectors"][row[item]] for item in items], axis=0)
    assert np.allclose(learner.model.vector([*items, 10**12]), want, rtol=1e-6)
    assert not learner.model.vector([10**12]).any()
    before = learner.model.vector(items)
    learner.model.learn_at(shop[1].X[100], items[0], None, 0, int(shop[1].known[-1]))
    assert (learner.model.vector([int(shop[1].X[100, 6])]) != before).any(), "it learns with every click"


def test_retrieval_by_vectors_is_exhaustive(shop):
    """D4: the twenty items whose vectors fit best, of all there are, as numpy finds them."""
    learner = Learner(MODELS["item_vectors"], NAMES)
    learner.replay(shop[1])
    state, hits = learner.model.state, []
    for x in shop[1].X[-200:]:
        fit = state["contexts"] @ learner.model.vector([int(item) for item in x[6:] if item >= 0])
        best = set(state["ids"][np.argsort(-fit, kind="stable")[:20]].tolist())
        hits.append(len(best & set(learner.model.predict(x).astype(int).tolist())) / 20)
    assert np.mean(hits) > 0.999, "float32 sums in another order may swap two items at the end of a list"


def test_planted_topics_are_recovered_by_the_vectors():
    """D3: nearest neighbours by vector are of the same topic far more often than by chance (1 in 24)."""
    source = Shop()
    asked = questions_of(CLICKS.accept(next(source.chunks()))[0])
    learner = Learner(MODELS["item_vectors"], NAMES)
    learner.replay(asked)
    state, topic = learner.model.state, source.items().set_index("item")["topic"]
    often = np.argsort(-state["counts"][:, 0])[:200]
    ids, vectors = state["ids"][often], state["vectors"][often]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    like = unit @ unit.T
    np.fill_diagonal(like, -2)
    own, near = topic[ids].to_numpy(), topic[ids[like.argmax(axis=1)]].to_numpy()
    assert (own == near).mean() > 0.9


@pytest.mark.parametrize("name", ["session_neighbours", "session_ranker"])
def test_after_three_clicks_of_a_topic_an_unknown_visitor_sees_it(name, shop):
    """D6, for every topic."""
    source, asked = shop
    learner = Learner(MODELS[name], NAMES)
    learner.replay(asked)
    items = source.items()
    popular = Counter(asked.y[np.isfinite(asked.y)].astype(int).tolist())
    topic_of, shares = items.set_index("item")["topic"], []
    for topic in range(24):
        own = sorted(items.loc[items["topic"] == topic, "item"], key=popular.__getitem__)[-3:]
        x = np.r_[10**6, 3.0, 5.0, 0.0, -1.0, -1.0, own, np.full(17, -1.0)]
        listed = learner.model.predict(x)
        shares.append((topic_of[listed[np.isfinite(listed)][:10].astype(int)] == topic).mean())
    assert min(shares) >= 0.3 and np.mean(shares) > 0.6


def test_memory_grows_by_demand_and_old_sessions_give_way():
    asked = questions_of(random_clicks(5_000, items=400, visitors=40, seed=2))
    learner = Learner(Ranking("ranker", sessions=64), NAMES)
    small = len(dumps(learner.state))
    learner.replay(asked)
    counts = learner.model.counts
    assert counts["gave_way"] > 100 and len(learner.model.state["gains"]) == 64
    assert 2 * small < len(dumps(learner.state)) < 400_000


def test_an_empty_catalogue_and_a_list_longer_than_the_catalogue():
    model = compile(Ranking("ranker", k=20), NAMES)
    assert np.isnan(compile(Ranking("popular"), NAMES).predict(np.full(26, -1.0))).all()
    x = np.r_[0.0, 1.0, 0.0, 0.0, -1.0, -1.0, 7.0, np.full(19, -1.0)]
    assert model.predict(x)[0] == 7.0 and np.isnan(model.predict(x)[1:]).all()
    model.learn_at(x, 8.0, model.predict_at(x, 10), 10, 20)
    listed = model.predict(np.frombuffer(x.tobytes()))  # as a service hands it over
    assert set(listed[:2]) == {7.0, 8.0} and np.isnan(listed[2:]).all()


def test_the_same_answer_learned_twice_enters_the_index_once():
    asked = questions_of(random_clicks(100))
    once, twice = (compile(Ranking("vsknn"), NAMES) for _ in range(2))
    for i in range(60):
        if asked.y[i] == asked.y[i]:
            once.learn_at(asked.X[i], asked.y[i], None, 0, int(asked.known[i]))
            for _ in range(2):
                twice.learn_at(asked.X[i], asked.y[i], None, 0, int(asked.known[i]))
    assert once.predict_at(asked.X[70], 0).tobytes() == twice.predict_at(asked.X[70], 0).tobytes()


def test_the_learned_ranker_beats_its_sources(shop):
    """D5, and better than popularity by NDCG too."""
    asked, hits, ndcg = shop[1], {}, {}
    for name in ("popular", "markov", "session_neighbours", "session_ranker"):
        lists = Learner(MODELS[name], NAMES).replay(asked)
        known = np.isfinite(asked.y)
        known[: len(asked) // 2] = False
        ndcg[name] = gains(asked.y, lists, 20)[known, 2].mean()
        hits[name] = (lists[known] == asked.y[known, None]).any(axis=1).mean()
    assert hits["session_ranker"] > max(hits["markov"], hits["session_neighbours"]) > 2 * hits["popular"]
    assert ndcg["session_ranker"] > max(3 * ndcg["popular"], ndcg["session_neighbours"]), ndcg


def test_names_and_kinds_are_those_of_the_kernels():
    assert [getattr(neighbours, name.upper()) for name in KINDS] == list(range(len(KINDS)))
    assert catalogue.build("session_ranker") is MODELS["session_ranker"]


def test_bad_parameters_say_what_is_right():
    with pytest.raises(LookupError, match="no ranking by 'magic'; there are: popular, repeat"):
        Ranking("magic")
    with pytest.raises(ValueError, match="k must lie between 1 and 64, got 0"):
        Ranking("popular", k=0)
    with pytest.raises(ValueError, match="a power of two of at least 64, got 100"):
        Ranking("ranker", sessions=100)
