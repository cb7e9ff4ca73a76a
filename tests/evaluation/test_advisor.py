"""The advisor tries every strategy on the user's own stream, counts the costs and recommends the cheapest of equals."""

import json
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest
from command_line import command
from drifting import drifting

from rtml.core.clock import NEVER, span
from rtml.core.questions import Questions
from rtml.evaluation.advice import Advice, baselines
from rtml.evaluation.advisor import advise
from rtml.evaluation.progressive import progressive
from rtml.evaluation.retraining_sweep import Trial, settings, trial, trials
from rtml.metrics import metrics
from rtml.models import catalogue as zoo
from rtml.training.retraining.schedule import SEVEN, read
from rtml.training.retraining.strategy import build

STREAM = drifting("recurring", n=6000, delay="30m").questions


@pytest.fixture(scope="module")
def advice():
    return advise(STREAM)


def test_some_thirty_settings_of_all_seven_strategies_are_tried(advice):
    trained = advice.frame[advice.frame["strategy"] != "baseline"]
    assert 25 <= len(trained) <= 35 and set(trained["strategy"]) == set(SEVEN)
    assert {"no change", "mean so far"} == set(advice.frame.index) - set(trained.index)
    assert (
        set(settings(STREAM, few=True)) <= set(settings(STREAM)) | {"continual"} or len(settings(STREAM, few=True)) == 8
    )


def test_a_row_says_what_a_replay_by_itself_says(advice):
    name = next(n for n in advice.frame.index if n.startswith("stateful every"))
    made = progressive(build(f"logistic: {name}", STREAM.names), STREAM)
    row, first = advice.frame.loc[name], len(STREAM) // 10
    assert row["loss"] == pytest.approx(metrics.log_loss(STREAM.y[first:], made.predictions[first:]), rel=1e-9)
    assert row["samples"] == len(STREAM) and row["publications"] == made.learner.model.version
    ats = np.array([p.at for p in made.learner.model.publications()])
    ages = [(m - ats[ats < m].max()) / 1e9 for m in STREAM.moment if (ats < m).any()]
    assert row["staleness_s"] == pytest.approx(np.mean(ages))
    assert row["low"] < row["loss"] < row["high"]


def test_the_front_is_what_nothing_beats(advice):
    trained = advice.frame[advice.frame["strategy"] != "baseline"]
    for name, row in advice.frame.iterrows():
        beats = [
            all(other[c] <= row[c] for c in COSTS) and any(other[c] < row[c] for c in COSTS)
            for _, other in trained.iterrows()
        ]
        assert row["pareto"] == (not any(beats) and row["strategy"] != "baseline"), name
    assert advice.table.index.isin(advice.frame.index).all() and len(advice.table) < len(advice.frame)


COSTS = ("loss", "samples", "publications")


def test_on_a_stream_that_drifts_it_recommends_to_keep_learning_and_on_one_that_does_not_to_train_once():
    assert read(advise(STREAM).recommended).strategy in ("continual", "stateful cadence")
    calm = drifting("none", n=12000, delay="30m", task="regression").questions
    chosen = ["continual", "stateful every 1h", "stateless after 8000", "stateless every 6h window all"]
    found = advise(calm, "rls_all", chosen, since=0.7)
    assert found.recommended == "stateless after 8000", found.frame
    assert "as good as" in found.sentence


def test_where_nothing_beats_the_baseline_it_says_so():
    rng = np.random.default_rng(1)
    noise = replace(STREAM, y=(rng.random(len(STREAM)) < 0.3).astype(float))
    found = advise(noise, chosen=["continual", "stateful every 1h"])
    assert "needs no training and loses" in found.sentence and "better features come first" in found.sentence


def test_baselines_know_only_what_was_known():
    rng = np.random.default_rng(2)
    n = 200
    moment = np.sort(rng.integers(0, 5000, n))
    known = moment + rng.integers(1, 900, n)
    for y in (rng.integers(0, 2, n).astype(float), rng.normal(size=n)):
        y[rng.random(n) < 0.1] = np.nan
        q = Questions(np.arange(n), moment, np.zeros((n, 1)), y, known, ("a",))
        found, order = baselines(q), sorted(range(n), key=lambda i: (known[i], i))
        lasts = []
        for i in range(n):
            told = [j for j in order if known[j] < moment[i] and y[j] == y[j]]
            last = y[told[-1]] if told else 0.0
            lasts.append(last)
            if np.isin(y[~np.isnan(y)], (0, 1)).all():
                alike = [y[j] for j in told if lasts[j] == last]
                expected = ((sum(y[j] for j in told) + 1) / (len(told) + 2), (sum(alike) + 1) / (len(alike) + 2))
            else:
                expected = (np.mean([y[j] for j in told]) if told else 0.0, last)
            assert (found["mean so far"][i], *(found[n][i] for n in found if n != "mean so far")) == pytest.approx(
                expected
            )


def test_numbers_are_judged_by_their_squared_error():
    stream = drifting("sudden", n=3000, task="regression").questions
    found = advise(stream, chosen=["continual", "stateless after 500"])
    said = progressive(zoo.build("rls"), stream).predictions
    assert found.frame.loc["continual", "loss"] == pytest.approx(np.mean((stream.y[300:] - said[300:]) ** 2))


def test_answers_that_never_come_count_for_nothing():
    half = np.arange(len(STREAM)) % 2 == 0
    some = replace(STREAM, y=np.where(half, STREAM.y, np.nan), known=np.where(half, STREAM.known, NEVER))
    found = advise(some, chosen=["continual", "stateful every 1h"])
    assert found.frame["samples"].max() == 3000 and np.isfinite(found.frame["loss"]).all()


def test_workers_that_map_the_questions_find_the_same(tmp_path):
    """In this process; `make test-extras` does it in others, with loky and with Ray."""
    chosen = settings(STREAM, few=True)
    mapped = joblib.load(joblib.dump(STREAM, tmp_path / "questions")[0], mmap_mode="r")
    assert isinstance(mapped.X, np.memmap)
    alone = trials(chosen, "logistic", STREAM)
    for one, other in zip(alone, trials(chosen, "logistic", mapped, 2, "threading"), strict=True):
        assert one.setting == other.setting and one.predictions.tobytes() == other.predictions.tobytes()
        assert (one.samples, one.publications) == (other.samples, other.publications)


def test_a_tree_is_advised_too():
    found = advise(STREAM[:1500], "tree_sign" if "tree_sign" in zoo.ZOO else "logistic", few=True)
    assert found.recommended in found.frame.index


def test_too_little_to_say_stays_with_the_best():
    best = np.zeros(50)
    tried = {"continual": (0.1, 50), "stateless after 5": (0.5, 5)}
    made = [Trial(name, np.full(50, p), n, 1, np.zeros(0, int), np.zeros(50), 0.0) for name, (p, n) in tried.items()]
    q = Questions(np.arange(50), np.arange(50), np.zeros((50, 1)), best, np.arange(50) + 1, ("a",))
    assert Advice.of(q, made).recommended == "continual"
    assert metrics.loss(np.array([1.0]), np.array([0.25]), False) == 0.5625


def test_the_command_reads_a_run_and_leaves_table_and_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    monkeypatch.setenv("RTML_QUIET", "1")
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    assert command("advise", "mine") == 2
    assert "runs/mine/questions.parquet is missing: run 02_features first (make run-02)" in capsys.readouterr().err
    stream = drifting("sudden", n=2000, task="regression", delay="1m").questions
    frame = pd.DataFrame(stream.X, columns=list(stream.names), index=pd.to_datetime(stream.moment, utc=True))
    known = pd.to_datetime(stream.known, utc=True).where(np.arange(2000) != 5)
    y = np.where(np.arange(2000) == 5, np.nan, stream.y)
    frame.assign(y=y, known=known, id=stream.id, offset=stream.id, of_key=0).to_parquet(folder / "questions.parquet")
    config = {"use_case": "crypto", "keys": ["A"], "source": "x", "models": {"return": "rls_all: continual"}}
    (folder / "recipe.json").write_text(json.dumps(config))
    assert command("advise", "mine", "--few") == 0
    said = capsys.readouterr().out
    assert "Use '" in said and "RecursiveLeastSquares" not in said and "stateful cadence" in said
    table = pd.read_csv(folder / "advice.csv", index_col="setting")
    assert table.loc["continual", "samples"] == 1999 and (folder / "advice.png").stat().st_size > 5000
    assert command("advise", "mine", "--target", "colour") == 2
    assert "no target 'colour'" in capsys.readouterr().err


def test_frequencies_are_round_and_fit_the_stream():
    from rtml.evaluation.retraining_sweep import frequencies

    spans = [span(text) for text in frequencies(STREAM)]
    assert spans == sorted(set(spans)) and spans[0] >= 2 * span("1m") and spans[-1] <= 6000 * span("1m") / 3
    assert trial("continual", "logistic", STREAM[:50]).publications == 50 - (STREAM.known[:50] >= NEVER).sum()
