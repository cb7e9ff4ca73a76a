"""The blend: the same bits however a stream is cut, members as their oracles, and regrets within the stated bounds."""

import numpy as np
import pytest
from driver import Driver, bits, by_time, check_cutting
from hypothesis import given, settings
from hypothesis import strategies as st
from river import linear_model, preprocessing
from streams import NAMES, cuts, stream, streams

from rtml.core.clock import NEVER
from rtml.kernels import blend as kernels
from rtml.models.blend import Blend, BlendClassifier, CompiledBlend
from rtml.models.compiled import compile, restore
from rtml.models.recursive_logistic import RecursiveLogistic
from rtml.models.rls import RecursiveLeastSquares

SMALL = {"random": 4, "every": 2}


def built(sign, outside=False):
    model = CompiledBlend(NAMES, sign, SMALL)
    if outside:
        learner = linear_model.LogisticRegression() if sign else RecursiveLeastSquares(ridge=3.0)
        model.join("along", compile(preprocessing.StandardScaler() | learner, NAMES))
        frozen = compile(RecursiveLogistic() if sign else linear_model.LinearRegression(), NAMES)
        frozen.learn(np.ones(len(NAMES)), 1.0)
        model.join("frozen", frozen, learning=False)
    return model


@pytest.mark.parametrize("sign", [False, True])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_cutting_gives_the_same_bits_as_one_by_one(sign, data):
    q = data.draw(streams(sign))
    check_cutting(lambda: built(sign, outside=True), q, data.draw(cuts(len(q))), NEVER)


@pytest.mark.parametrize("sign", [False, True])
def test_the_prediction_alone_is_that_of_the_question(sign):
    q, model = stream(60, sign=sign), built(sign, outside=True)
    Driver(model).replay(q, NEVER)
    before = bits(model)
    for x in q.X:
        kept = model.predict_at(x, 0)
        assert kept.shape == (model.outputs + model.memory,) and model.predict(x) == kept[0]
    assert bits(model) == before


def test_least_squares_members_are_the_exact_ridge_of_what_came():
    q = stream(400, seed=3)
    model = CompiledBlend(NAMES, how={"random": 0, "every": 1})
    kept = Driver(model).replay(q, NEVER)
    place = model.members.index("forgetting 1 ridge 100")
    peer = compile(preprocessing.StandardScaler() | RecursiveLeastSquares(ridge=100.0), NAMES)
    exact = peer.replay(q.X, q.y, q.moment, q.known, by_time(q.known), NEVER)[0]
    apart = np.abs(kept[20:, 1 + place] - exact[20:])
    assert apart[:11].max() < 1e-9, "solved after each of the first answers"
    assert np.sort(apart)[: len(apart) // 5].max() < 1e-9 and apart.max() < 0.1, "later every fourth, and near between"
    forgets = model.members.index("forgetting 0.998 ridge 1000")
    known = len(q) - 2  # before the last question: the answer of the one before is known at its moment, too late
    Z = np.array([scaled(q.X[i], q.X[: i + 1]) for i in range(known)])
    w = 0.998 ** np.arange(known)[::-1]
    ridge = np.diag([*[1000.0] * len(NAMES), kernels.INTERCEPT_PRECISION])
    fitted = np.linalg.solve((Z * w[:, None]).T @ Z + ridge, Z.T @ (w * q.y[:known]))
    assert kept[-1, 1 + forgets] == pytest.approx(float(scaled(q.X[-1], q.X[:known]) @ fitted), abs=1e-8)


def scaled(x, seen):
    """A row as the members see it when the scaler has seen these rows."""
    deviation = seen.std(axis=0)
    deviation[deviation < 1e-12] = np.inf
    return np.append(np.clip((x - seen.mean(axis=0)) / deviation, -8.0, 8.0), 1.0)


def test_baselines_say_what_their_names_say():
    q = stream(50, seed=1)
    model = CompiledBlend(NAMES, how=SMALL)
    kept = Driver(model).replay(q, NEVER)
    column = {name: kept[:, 1 + k] for k, name in enumerate(model.members)}
    assert not column["zero"].any()
    assert column["mean"][20] == pytest.approx(q.y[:19].mean())
    assert column["last answer"][20] == q.y[18]
    assert np.isnan(column["outside 1"]).all()


def test_a_label_that_stays_says_how_often_labels_stay():
    rng = np.random.default_rng(0)
    y = (np.cumsum(rng.random(4000) < 0.05) % 2).astype(float)
    q = stream(4000, sign=True)
    q = type(q)(q.id, q.moment, rng.normal(size=q.X.shape), y, q.moment + 1, q.names)
    model = CompiledBlend(NAMES, True, {"random": 0})
    kept = Driver(model).replay(q, NEVER)
    stays = kept[1000:, 1 + model.members.index("last answer")]
    assert abs(np.maximum(stays, 1 - stays).mean() - 0.95) < 0.02
    assert ((kept[1000:, 0] > 0.5) == (y[1000:] > 0.5)).mean() > 0.93


def mixed(said, y, unit, eta, share):
    """A mixture of two given columns and more, without delay: what it says, the regrets that counted, the weights."""
    weights = np.full(said.shape[1], 1.0 / said.shape[1])
    prior, out, regrets = weights.copy(), np.empty(len(y)), np.zeros_like(said)
    for t in range(len(y)):
        out[t] = kernels.mean(weights, said[t])
        if unit:
            slope = 2.0 * (out[t] - y[t]) / unit
            regrets[t] = slope * (out[t] - said[t])
            regrets[t] *= min(1.0, 0.5 / (eta * max(np.abs(regrets[t]).max(), 1e-300)))
        kernels.reweigh(said[t], y[t], unit, eta, weights)
        assert weights.sum() == pytest.approx(1.0, abs=1e-9) and (weights > 0).all()
        weights = (1.0 - share) * weights + share * prior
    return out, regrets, weights


def log_loss(y, p):
    return -np.log(np.where(y == 1.0, p, 1.0 - p)).sum()


def adversarial(seed, kind, n=2000, members=6):
    """Answers of noise and members of which another is right now and then, on scales of one and of a thousand."""
    rng = np.random.default_rng(seed)
    truth, said = rng.normal(size=n), rng.normal(size=(n, members))
    best = {
        "alternating": np.arange(n) % 2,
        "switches": np.repeat(rng.integers(0, members, 5), n // 5),
        "one": np.zeros(n, int),
    }[kind]
    said[np.arange(n), best] = truth + 0.1 * rng.normal(size=n)
    return truth, said, best


@pytest.mark.parametrize("kind", ["alternating", "switches", "one"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("eta", [0.5, 0.1])
def test_no_sequence_of_members_is_better_by_more_than_the_bound(kind, scale, eta):
    share = 0.005
    for seed in range(3):
        truth, said, best = adversarial(seed, kind)
        y, said = scale * truth, scale * said
        out, regrets, _ = mixed(said, y, scale**2, eta, share)
        n, members = said.shape
        for path in (best, *np.tile(np.arange(members)[:, None], n)):
            m = int((np.diff(path) != 0).sum())
            log_cost = np.log(members) + m * np.log(members / share) - (n - 1 - m) * np.log1p(-share)
            own = regrets[np.arange(n), path]
            assert own.sum() <= log_cost / eta + eta * (own**2).sum() + 1e-6, (kind, scale, seed, m)
        losses = ((out - y) ** 2 - (said[np.arange(n), best] - y) ** 2) / scale**2
        if kind != "alternating":  # an alternating best member is what no mixture with few switches can follow
            assert losses[n // 10 :].mean() < 0.35


@pytest.mark.parametrize("kind", ["alternating", "switches", "one"])
def test_log_loss_is_within_the_exact_bound_of_fixed_share(kind):
    share = 0.005
    for seed in range(3):
        truth, said, best = adversarial(seed, kind)
        y, p = (truth > 0).astype(float), 1.0 / (1.0 + np.exp(-np.clip(3.0 * said, -12, 12)))
        out, _, _ = mixed(p, y, 0.0, 1.0, share)
        n, members = p.shape
        for path in (best, *np.tile(np.arange(members)[:, None], n)):
            m = int((np.diff(path) != 0).sum())
            bound = np.log(members) + m * np.log(members / share) - (n - 1 - m) * np.log1p(-share)
            assert log_loss(y, out) - log_loss(y, p[np.arange(n), path]) <= bound + 1e-6, (kind, seed, m)


def test_the_bound_is_no_empty_one():
    """A mixture that moves the other way breaks it: the test above can fail."""
    truth, said, _ = adversarial(0, "one")
    weights = np.full(6, 1.0 / 6)
    out = np.empty(len(truth))
    for t in range(len(truth)):
        out[t] = kernels.mean(weights, said[t])
        kernels.reweigh(said[t], 2.0 * out[t] - truth[t], 1.0, 0.5, weights)  # the answer mirrored
    regret = (2.0 * (out - truth) * (out - said[:, 0])).sum()
    assert regret > 10 * (np.log(6) / 0.5)


def test_who_sleeps_keeps_its_weight_and_comes_back_with_it():
    weights = np.array([0.2, 0.3, 0.5])
    kernels.reweigh(np.array([1.0, np.nan, 0.0]), 1.0, 1.0, 0.5, weights)
    assert weights[1] == 0.3 and weights.sum() == pytest.approx(1.0) and weights[0] > 0.2
    assert kernels.mean(weights, np.array([1.0, np.nan, 1.0])) == 1.0


def test_a_member_from_outside_joins_and_leaves():
    q, model = stream(300, seed=2), CompiledBlend(NAMES, how=SMALL)
    driver = Driver(model)
    driver.replay(q[:150], int(q.moment[149]))
    oracle = compile(preprocessing.StandardScaler() | RecursiveLeastSquares(ridge=1e-3), NAMES)
    for x, y in zip(q.X[:150], q.y[:150], strict=True):
        oracle.learn(x, y)
    model.join("oracle", oracle, learning=False, weight=0.2)
    assert model.weights["oracle"] == pytest.approx(0.2, abs=1e-12)
    kept = driver.replay(q[150:], NEVER)
    place = model.members.index("oracle")
    assert np.isfinite(kept[:, 1 + place]).all() and model.weights["oracle"] > 0.2
    with pytest.raises(ValueError, match="'oracle' cannot join: 1 places are free"):
        model.join("oracle", oracle)
    with pytest.raises(ValueError, match="restore\\(state\\) builds it"):
        CompiledBlend(NAMES, how=SMALL).load(model.state)
    model.leave("oracle")
    assert np.isnan(model.predict_at(q.X[0], 0)[1 + place]) and "oracle" not in model.members
    with pytest.raises(LookupError, match="no outside member 'oracle'"):
        model.leave("oracle")


def test_what_is_missing_counts_as_the_mean():
    rng = np.random.default_rng(5)
    model = CompiledBlend(("a", "b"), how={"random": 3})
    for row in rng.normal(3.0, 1.0, (300, 2)):
        model.learn(np.array([row[0], np.nan if row[1] > 3.5 else row[1]]), row[0])
    mean = model.state["scaler"][0]
    assert model.predict([4.0, np.nan]) == model.predict([4.0, mean[1]])
    assert abs(model.predict([4.0, np.nan]) - 4.0) < 0.5


def test_a_short_stream_begins_with_its_champion():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(240, 4))
    y = X @ [0.5, -0.5, 0.3, 0.0] + rng.normal(size=240)
    q = stream(240)
    q = type(q)(q.id, q.moment, X, y, q.known, q.names)
    model = CompiledBlend(NAMES)
    kept = Driver(model).replay(q, NEVER)
    champion = kept[:, 1 + model.members.index(model.how["champion"])]
    losses = [((column - y) ** 2)[60:].mean() for column in (kept[:, 0], champion, np.zeros(240))]
    assert losses[0] < losses[1] * 1.05 and losses[0] < losses[2] * 0.8


def test_one_of_planted_experts_is_followed_through_a_switch():
    rng = np.random.default_rng(1)
    n = 6000
    X = rng.normal(size=(n, 4))
    law = np.where(np.arange(n)[:, None] < n // 2, [1.0, 0, 0, 0], [-1.0, 0, 0, 0])
    y = (X * law).sum(axis=1) + rng.normal(size=n)
    q = stream(n)
    q = type(q)(q.id, q.moment, X, y, q.moment + 1, q.names)
    model = CompiledBlend(NAMES, how={"random": 0})
    kept = Driver(model).replay(q, NEVER)
    late = slice(n // 2 + 1000, None)
    loss = ((kept[:, 1 : 1 + len(model.members)] - y[:, None]) ** 2)[late].mean(axis=0)
    blend = ((kept[:, 0] - y) ** 2)[late].mean()
    assert blend < 1.05 * np.nanmin(loss) and blend < 0.8 * loss[model.members.index("forgetting 1 ridge 100")]


def test_what_is_broken_is_refused_and_changes_nothing():
    model = CompiledBlend(NAMES, how=SMALL)
    kept = model.predict_at(np.ones(4), 0)
    model.learn_at(np.ones(4), 1.0, kept, 0, 1)
    before = bits(model)
    with pytest.raises(ValueError, match="feature 'flow' must be a finite number"):
        model.learn(np.array([1.0, np.inf, 1.0, 1.0]), 1.0)
    with pytest.raises(ValueError, match="label must be a finite number, got inf"):
        model.learn(np.ones(4), np.inf)
    with pytest.raises(LookupError, match="no member 'the best' to begin with; there are: forgetting 1 ridge 100"):
        CompiledBlend(NAMES, how={"champion": "the best"})
    with pytest.raises(ValueError, match="a blend has no depth; it has: forgetting"):
        CompiledBlend(NAMES, how={"depth": 3})
    with pytest.raises(ValueError, match="questions wait: a blend must know what was kept"):
        model.replay(np.ones((2, 4)), np.ones(2), np.array([3]), np.array([4, 5]), np.arange(2), NEVER)
    assert bits(model) == before


@pytest.mark.parametrize("build", [Blend, BlendClassifier])
def test_the_river_model_is_its_compiled_twin(build):
    q = stream(80, sign=build is BlendClassifier)
    names = sorted(NAMES)  # a row by name has no order of its own
    model, twin = build(random=3), compile(build(random=3), names)
    assert twin.describe().startswith("Blend(") and twin.classifier == (build is BlendClassifier)
    X = q.X[:, [NAMES.index(name) for name in names]]
    for raw, x, y in zip(q.X, X, q.y, strict=True):
        row = dict(zip(NAMES, raw.tolist(), strict=True))
        got = model.predict_proba_one(row)[True] if twin.classifier else model.predict_one(row)
        assert got == twin.predict(x)
        model.learn_one(row, bool(y) if twin.classifier else y)
        twin.learn(x, y)
    assert restore(twin.state).predict(X[0]) == twin.predict(X[0])
    going_on = compile(model, names)
    assert going_on.kind == "compiled" and going_on.predict(X[0]) == twin.predict(X[0])
    assert model.clone().how == model.how


def test_a_change_is_followed_faster_than_by_any_member():
    """Another law every 1,000 answers: over 300 answers behind each change, and over all, no member loses less."""
    every, n = 1000, 7000
    behind, all_of_them = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        laws = rng.normal(size=(n // every, 4))
        laws /= np.linalg.norm(laws, axis=1)[:, None]
        X = rng.normal(size=(n, 4))
        q = stream(n)
        y = (X * np.repeat(laws, every, axis=0)).sum(axis=1) + rng.normal(size=n)
        model = CompiledBlend(NAMES, how={"random": 0})
        kept = Driver(model).replay(type(q)(q.id, q.moment, X, y, q.moment + 1, q.names), NEVER)
        losses = (kept[every:, : 1 + len(model.members)] - y[every:, None]) ** 2
        all_of_them.append(losses.mean(axis=0))
        behind.append(losses[np.arange(n - every) % every < 300].mean(axis=0))
    for found in (np.mean(all_of_them, axis=0), np.mean(behind, axis=0)):
        assert len(found) > 30 and found[0] < np.nanmin(found[1:]) - 0.01
