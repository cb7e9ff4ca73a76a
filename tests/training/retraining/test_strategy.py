"""A model on a schedule answers as if somebody had trained it by hand at the right times, however the stream is cut."""

from itertools import pairwise

import numpy as np
import pytest
from drifting import drifting
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import NAMES, OTHER, REGRESSORS, by_hand, cuts, stream, streams
from training.test_flow import SYMBOLS, flow, tape
from training.test_learner import bits, one_by_one

from rtml.core import state as checkpoint
from rtml.core.clock import NEVER
from rtml.core.questions import Questions
from rtml.evaluation.progressive import progressive
from rtml.metrics import metrics
from rtml.models import catalogue as zoo
from rtml.models.compiled import compile, restore
from rtml.training.learner import Learner
from rtml.training.retraining.buffer import Rehearsal
from rtml.training.retraining.schedule import SEVEN, read
from rtml.training.retraining.strategy import Strategy, build
from rtml.usecases.crypto import use_case as crypto

quick = settings(max_examples=15, deadline=None)

SCHEDULES = {  # streams of the tests go on in steps of a nanosecond
    "continual": "continual",
    "continual, rehearsing": "continual rehearse 2 of 5",
    "continual, published by time": "continual publish 4ns",
    "continual, published by answers": "continual publish 3",
    "cadence": "stateless every 5ns window 9ns",
    "cadence by answers": "stateless every 4 window 6",
    "everything": "stateless every 7ns window all",
    "once": "stateless after 6",
    "stateful cadence": "stateful every 5ns rehearse 1 of 4",
    "rule": "stateless when error above 0.5 or bias > 0.3 over 3 cooldown 4ns window 8 first 3",
    "stateful rule": "stateful when loss 10 % above reference over 3 first 3",
    "drift": "stateless on drift of return_1 by page_hinkley or on drift by hddm cooldown 5 window 9 first 2",
    "several": "stateful every 6ns or when error > 1 over 2 or every 5 cooldown 3 first 2",
}


def strategy(schedule, model="scaled least squares"):
    return Strategy((REGRESSORS | OTHER)[model](), NAMES, schedule, seed=3)


@pytest.mark.parametrize("name", SCHEDULES)
@quick
@given(data=st.data())
def test_any_cutting_gives_the_same_bits(name, data):
    questions = data.draw(streams())
    whole = Learner(strategy(SCHEDULES[name]), NAMES)
    predictions = whole.replay(questions)
    cut, parts = Learner(strategy(SCHEDULES[name]), NAMES), []
    for start, stop in pairwise(data.draw(cuts(len(questions)))):
        until = NEVER if stop == len(questions) else int(questions.moment[stop]) - data.draw(st.integers(1, 20))
        parts.append(cut.replay(questions[start:stop], until))
        if data.draw(st.booleans()):  # a restart in between
            state, cut = checkpoint.loads(bits(cut)), Learner(strategy(SCHEDULES[name]), NAMES)
            cut.load(state)
    assert np.concatenate(parts).tobytes() == predictions.tobytes()
    assert bits(cut) == bits(whole)
    single = Learner(strategy(SCHEDULES[name]), NAMES)
    assert one_by_one(single, questions).tobytes() == predictions.tobytes()
    assert bits(single) == bits(whole)


@pytest.mark.parametrize("schedule", ["stateful every 300ns", "stateless when error > 0.9 over 20 window 50 first 30"])
def test_a_tree_is_trained_on_a_schedule_too_and_any_cutting_is_the_same(schedule):
    questions = stream(300, delays=np.random.default_rng(1).integers(1, 90, 300), unlabelled=0.1)
    whole, single = (Learner(strategy(schedule, "tree"), NAMES) for _ in range(2))
    predictions = whole.replay(questions)
    assert one_by_one(single, questions).tobytes() == predictions.tobytes()
    assert bits(single) == bits(whole)
    assert whole.model.version > 3


class ByHand:
    """What a person would do with a model, a list of answers and a clock; no class of the package but the model."""

    def __init__(self, every, window=None):
        self.every, self.window = every, window
        self.model, self.kept, self.passed, self.new = self.fresh(), [], None, 0
        self.learning = self.fresh()

    def fresh(self):
        return compile(REGRESSORS["scaled least squares"](), NAMES)

    def tick(self, at):
        tick = (at - 1) // self.every
        if self.passed is not None and tick > self.passed and self.new:
            now, fitted = tick * self.every, self.fresh()
            recent = [row for row in self.kept if self.window and row[2] > now - self.window]
            if self.window is None:
                self.model, self.new = restore(self.learning.state), 0
            elif recent:
                for x, y, _ in recent:
                    fitted.learn(x, y)
                self.model, self.new = fitted, 0
        self.passed = tick

    def run(self, q):
        def ask(i):
            self.tick(q.moment[i])
            return self.model.predict(q.X[i])

        def tell(i):
            if q.y[i] == q.y[i]:
                self.tick(q.known[i])
                self.kept.append((q.X[i], q.y[i], q.known[i]))
                self.learning.learn(q.X[i], q.y[i])
                self.new += 1

        return by_hand(q, ask, tell)


@pytest.mark.parametrize(("schedule", "window"), [("stateless every 5ns window 9ns", 9), ("stateful every 5ns", None)])
@settings(max_examples=40, deadline=None)
@given(questions=streams())
def test_a_cadence_equals_training_by_hand(schedule, window, questions):
    expected = ByHand(5, window).run(questions)
    assert progressive(strategy(schedule), questions).predictions.tobytes() == expected.tobytes()


@settings(max_examples=40, deadline=None)
@given(questions=streams())
def test_continual_is_the_model_itself(questions):
    alone = progressive(REGRESSORS["scaled least squares"](), questions)
    assert progressive(strategy("continual"), questions).predictions.tobytes() == alone.predictions.tobytes()


def test_a_stateless_fit_is_the_ridge_of_its_window():
    questions = stream(700, delays=30)
    model = Strategy(REGRESSORS["least squares"](), NAMES, "stateless every 200 window 300")
    predictions = progressive(model, questions).predictions
    assert (predictions[:203] == 0).all()  # the 200th answer is known three questions later
    for start, end, asked in ((0, 200, slice(204, 400)), (100, 400, slice(404, 600)), (300, 600, slice(604, 700))):
        Z = np.c_[questions.X[start:end], np.ones(end - start)]
        weights = np.linalg.solve(Z.T @ Z + np.diag([2.0] * 4 + [1e-4]), Z.T @ questions.y[start:end])
        np.testing.assert_allclose(predictions[asked], np.c_[questions.X, np.ones(700)][asked] @ weights, rtol=1e-6)
    assert model.samples == 200 + 300 + 300


def test_a_fit_from_scratch_never_reads_the_model_before():
    questions = stream(600)
    one, other = strategy("stateless every 100 window 50"), strategy("stateless every 100 window 50")
    bent = Questions(*(getattr(questions, n).copy() for n in ("id", "moment", "X", "y", "known")), NAMES)
    bent.y[:150] += 1000.0  # outside every window from the third fit on
    a, b = progressive(one, questions).predictions, progressive(other, bent).predictions
    assert (a[230:] == b[230:]).all() and (a[120:190] != b[120:190]).all()
    stateful = [progressive(strategy("stateful every 100"), q).predictions for q in (questions, bent)]
    assert (stateful[0][230:] != stateful[1][230:]).all()


def test_stateful_training_is_continual_learning_published_less_often():
    questions = stream(900)
    continual, cadence = strategy("continual publish 100"), strategy("stateful every 100")
    assert (
        progressive(continual, questions).predictions.tolist() == progressive(cadence, questions).predictions.tolist()
    )
    assert continual.samples == cadence.samples == 900 and continual.version == 9


def test_missed_ticks_are_caught_up_once():
    gaps = [10] * 10 + [5000] + [10] * 10  # a silence of fifty ticks
    model = strategy("stateful every 100ns")
    progressive(model, stream(21, gaps=gaps, delays=1))
    assert [(p.at, p.samples) for p in model.publications()] == [(100, 9), (5000, 1), (5200, 10)]


def test_publications_say_when_why_how_and_on_how_much():
    model = strategy("stateless every 100ns window 50ns")
    progressive(model, stream(30, delays=1))
    first, second = model.publications()[:2]
    assert first == (100, "every 100ns", "stateless", 5, 1)
    assert second == (200, "every 100ns", "stateless", 5, 2)
    assert model.publications() == []


def test_told_to_train_it_trains_and_without_news_it_does_not():
    model = strategy("stateful")
    progressive(model, stream(30, delays=1))
    assert model.version == 0 and model.predict(np.ones(4)) == 0.0
    assert model.retrain(1000).cause == "told" and model.predict(np.ones(4)) != 0.0
    assert model.retrain(2000) is None


@pytest.mark.parametrize("schedule", ["continual", "stateful every 100ns", "stateless every 100ns window 20"])
def test_a_history_is_learned_before_the_stream_begins(schedule):
    questions = stream(60, delays=3)
    model = strategy(schedule)
    model.warm(questions[:40])
    assert [p.cause for p in model.publications()] == ([] if schedule == "continual" else ["history"])
    warmed = progressive(model, questions[40:]).predictions
    cold = progressive(strategy(schedule), questions[40:]).predictions
    truth = questions.X[40:] @ [1.0, -0.5, 0.0, 0.02]
    assert np.abs(warmed - truth)[:8].mean() < 0.3 * np.abs(cold - truth)[:8].mean()
    with pytest.raises(RuntimeError, match="warm up before the stream"):
        Learner(model, NAMES) and model.warm(questions)


def test_rehearsal_forgets_the_old_concept_less():
    questions = drifting("sudden", n=6000, seed=3).questions
    old = slice(1000, 3000)  # the first concept ends halfway; what is left of it at the end?
    losses = []
    for schedule in ("continual", "continual rehearse 3 of 1000"):
        model = Strategy(zoo.build("logistic"), questions.names, schedule, seed=1)
        progressive(model, questions)
        losses.append(metrics.log_loss(questions.y[old], [model.predict(x) for x in questions.X[old]]))
    assert losses[1] < 0.85 * losses[0], losses


def test_what_is_rehearsed_depends_on_the_seed_alone():
    questions = stream(200)
    runs = [Strategy(REGRESSORS["plain descent"](), NAMES, "continual rehearse 2 of 20", seed) for seed in (1, 1, 2)]
    a, b, c = (progressive(model, questions).predictions for model in runs)
    assert (a == b).all() and (a[50:] != c[50:]).any()


def test_the_reservoir_holds_every_answer_with_the_same_chance():
    rows = np.arange(100.0)
    counts = np.zeros(100)
    for seed in range(400):
        rehearsal = Rehearsal(1, 1, 10, seed)
        rehearsal.mixed(rows[:, None], rows)
        counts[rehearsal.state["y"].astype(int)] += 1
    assert counts.sum() == 4000 and counts.min() > 20 and counts.max() < 63  # 40 each, four deviations


@pytest.mark.parametrize("schedule", ["continual", "stateful every 100ns", "stateful on drift"])
def test_what_goes_on_keeps_no_answer(schedule):
    sizes = []
    for n in (100, 1000):
        model = strategy(schedule)
        progressive(model, stream(n, delays=1))
        model.publications()
        assert model.updater.samples == n and model.updater.state["recent"] is None
        sizes.append(len(checkpoint.dumps(model.state)))
    assert abs(sizes[1] - sizes[0]) < 200  # numbers grow by digits, not by rows


def test_a_state_of_another_schedule_is_refused():
    with pytest.raises(ValueError, match="this strategy is 'stateful every 1h' with seed 3"):
        strategy("stateful every 1h").load(strategy("stateful every 2h").state)


def test_a_server_answers_from_the_state_alone_with_what_was_published():
    model = strategy("stateful every 100ns")
    progressive(model, stream(25, delays=1))
    served = restore(checkpoint.loads(checkpoint.dumps(model.state)))
    x = np.ones(4)
    assert served.predict(x) == model.predict(x) != model.updater.model.predict(x)


@pytest.mark.parametrize("kind", SEVEN)
def test_each_of_the_seven_is_read_from_a_line_and_said_as_one(kind):
    schedule = read(SEVEN[kind])
    assert schedule.strategy == kind
    assert read(schedule.text) == schedule


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a schedule reads"),
        ("hourly", "a schedule reads"),
        ("continual every 1h", "a continual model learns every answer"),
        ("stateful every 1h publish 2h", "'publish' is for continual"),
        ("stateful every 1h window 2h", "'window' is for stateless"),
        ("stateless every 1h rehearse 1 of 5", "'rehearse' is for models that go on"),
        ("continual rehearse some", "rehearse takes how many"),
        ("stateful every 1h cooldown 2h", "'cooldown' is for conditions"),
        ("stateful every hour", "every takes a span such as '1h' or a number of answers, got 'hour'"),
        ("stateless after 1h", "after takes a number of answers"),
        ("stateful when accuracy", "a rule compares a metric"),
        ("on drift by magic", "no detector 'magic' for a trigger; there are: adwin, hddm"),
        ("on drifting", "no metric 'drifting'"),
        ("stateful when acuracy < 0.5", "no metric 'acuracy'"),
        ("stateful when accuracy below 90 % over 1", "a rule looks over at least 2 answers"),
    ],
)
def test_what_cannot_be_is_said(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        read(text)


def test_a_model_is_named_with_its_schedule():
    assert build("rls: stateful every 1h", NAMES).describe().startswith("stateful every 1h: StandardScaler")
    assert build("rls", NAMES).kind == "compiled"


def test_a_flow_with_schedules_is_cut_as_one_likes_and_its_snapshot_holds_what_was_published():
    names = crypto.features(SYMBOLS).names

    def scheduled():
        made = flow()
        texts = {"return": "rls: stateful every 3m", "sign": "logistic: stateless every 20 window 5m"}
        made.learners = {target: Learner(build(text, names), names) for target, text in texts.items()}
        return made

    rows, one, many = tape(n=3000), scheduled(), scheduled()
    whole = one.push(rows)
    parts = [many.push(rows[a : a + 70]) for a in range(0, len(rows), 70)]
    for target, learner in one.learners.items():
        assert np.concatenate([p.predictions[target] for p in parts]).tobytes() == whole.predictions[target].tobytes()
        assert learner.model.version >= 2
    assert checkpoint.dumps(many.state) == checkpoint.dumps(one.state) and many.snapshot() == one.snapshot()
    served = restore(checkpoint.loads(one.snapshot())["models"]["return"])
    x = np.ones(len(names))
    assert served.predict(x) == one.learners["return"].model.predict(x)
