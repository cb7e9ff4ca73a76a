"""The main job on real recordings: every file of trades or prices, and the whole of it on one of them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from runs import market_run

from rtml.evaluation.dataset import build
from rtml.metrics import metrics
from rtml.models import catalogue as zoo
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.learner import Learner
from rtml.training.run_config import PART

ROOT = Path(__file__).parents[2]
CRYPTO = ROOT.parent / "shared" / "data" / "crypto"
HUOBI = [CRYPTO / f"huobi_{symbol}_push_2018-04-16.parquet" for symbol in ("ethusdt", "btcusdt")]
WHOSE = ("served", "learner", "frozen", "baseline")
FILES = sorted(CRYPTO.glob("*.parquet"))
recorded = pytest.mark.skipif(not FILES, reason="the recordings are not in a user's clone")


def dataset(source, folder, **how):
    opened = open_source(source, **how)
    with EventLog(folder / "events.db") as log:
        ingest(opened, log, PART)
        bar = "1m" if "_1m_" in source else "10s"
        config = market_run(opened.symbols, opened.name, bar=bar, horizon=bar)
        return build(log, PART, config)


@recorded
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_recording_gives_questions_answers_and_predictions(path, tmp_path):
    data = dataset(str(path), tmp_path)
    q = data.of("return")
    learner = Learner(zoo.build("rls"), q.names)
    predictions = learner.replay(q)
    assert len(q) >= 30 and np.isfinite(predictions).all() and np.isfinite(q.X).all()
    assert metrics.coverage(q.y) > 0.9
    assert learner.answered == np.isfinite(q.y).sum() and learner.open == 0
    assert metrics.r2_zero(q.y, predictions) > -0.5, "the champion diverges on a real market"


@recorded
def test_the_champion_predicts_eth_with_btc_beside_it(tmp_path):
    q = dataset(",".join(map(str, HUOBI)), tmp_path).of("return")
    predictions = Learner(zoo.build("rls"), q.names).replay(q)
    half = len(q) // 2
    y, p = q.y[half:], predictions[half:]
    assert metrics.r2_zero(y, p) >= 0.095
    assert metrics.auc(metrics.sign_labels(y), p) >= 0.63
    shifted = np.roll(p, 1)
    assert metrics.r2_zero(y[1:], shifted[1:]) < 0.01, "a prediction one bar late must be worth nothing"


@recorded
@pytest.mark.skipif(os.environ.get("RTML_DEEP") != "1", reason="a minute and a half: make test-deep")
def test_the_main_job_runs_on_recorded_trades(tmp_path):
    source = str(CRYPTO / "coinbase_btcusd_trades_2023-09-05_h16.parquet")
    command = [sys.executable, "-m", "rtml", "run", "recorded", "-p", f"SOURCE={source}"]
    more = ["-p", "SERVE_SECONDS=2", "-p", "REQUESTS=300"]
    home = os.environ | {"RTML_HOME": str(tmp_path)}
    done = subprocess.run(command + more, cwd=ROOT, env=home, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "runs" / "recorded"
    found = json.loads((run / "metrics.json").read_text())
    check_whose(found)
    assert found["01_ingest"]["ingest"]["received"] == 5882
    assert found["03_backtest_progressive_eval"]["backtest"]["answered"] > 300
    assert found["04_online_train"]["online"]["asked"] > 60
    whose = [found["04_online_train"][name] for name in WHOSE]
    assert all(block.keys() == whose[0].keys() >= {"mae", "r2_zero"} for block in whose), "the same metrics of each"
    assert whose[0] == whose[1], "the learner serves"
    assert whose[3]["r2_zero"] == 0, "the baseline is no change"
    assert found["05_serve"]["served"]["failed"] == 0
    assert json.loads((run / "status.json").read_text())["state"] == "done"
    assert (tmp_path / "runs" / "latest").resolve() == run.resolve()
    assert (run / "report.html").stat().st_size < 3_000_000


def check_whose(metrics):
    """Every block of a score, and every headline of one, begins with whose it is."""
    scores = {"rmse", "mae", "r2_zero", "auc", "average_precision", "log_loss", "mse", "recall_at_1pct", "accuracy"}
    shown = re.compile("R²|AP|AUC|recall|accuracy|rmse|mae")
    for notebook, blocks in metrics.items():
        for name, block in blocks.items():
            if name == "headline":
                wrong = [one for one in block if shown.search(one) and one.split()[0] not in (*WHOSE, "backtest")]
            else:
                wrong = [name] if scores & set(block) and name.split()[0] not in (*WHOSE, "backtest") else []
            assert not wrong, f"{notebook}: whose is {wrong}?"


def test_the_five_notebooks_run_for_fraud_too(tmp_path):
    command = [sys.executable, "-m", "rtml", "run", "cards", "--profile", "fraud-small"]
    home = os.environ | {"RTML_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=home, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "runs" / "cards"
    assert len(list((run / "notebooks").glob("*.ipynb"))) == 5
    check_whose(json.loads((run / "metrics.json").read_text()))
    assert json.loads((run / "recipe.json").read_text())["use_case"] == "fraud"
    whose = [json.loads((run / "metrics.json").read_text())["04_online_train"][name] for name in WHOSE]
    assert all(block.keys() == whose[0].keys() >= {"average_precision", "log_loss"} for block in whose)
    assert whose[0]["average_precision"] > whose[3]["average_precision"]
    golden = {"average_precision": 0.429, "log_loss": 0.0337}
    assert {name: whose[0][name] for name in golden} == pytest.approx(golden, rel=0.03), "the figures of this town"
    assert json.loads((run / "status.json").read_text())["state"] == "done"
    assert (run / "report.html").stat().st_size < 3_000_000


@pytest.mark.skipif(os.environ.get("RTML_DEEP") != "1", reason="a minute: make test-deep")
def test_the_five_notebooks_run_for_sessions_too(tmp_path):
    command = [sys.executable, "-m", "rtml", "run", "shop", "--profile", "sessions-small"]
    home = os.environ | {"RTML_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=home, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "runs" / "shop" / "metrics.json").read_text())
    check_whose(found)
    golden = {"recall": 0.8005, "mrr": 0.3352, "frozen_recall": 0.3067}
    assert found["03_backtest_progressive_eval"]["backtest"] == pytest.approx(golden, abs=0.003)
    served = {"recall": 0.8889, "mrr": 0.3789}
    assert {name: found["05_serve"]["served"][name] for name in served} == pytest.approx(served, abs=0.02)
    assert json.loads((tmp_path / "runs" / "shop" / "status.json").read_text())["state"] == "done"


DEEP = pytest.mark.skipif(os.environ.get("RTML_DEEP") != "1", reason="a minute: make test-deep")


@pytest.mark.parametrize("example", ["bikes", pytest.param("weather", marks=DEEP), pytest.param("pumps", marks=DEEP)])
def test_a_case_that_lies_elsewhere_runs_the_generic_five(example, tmp_path):
    case = shutil.copy(ROOT / "examples" / f"{example}.py", tmp_path / f"own_{example}.py")
    command = [sys.executable, "-m", "rtml", "run", "own", "--use-case", str(case), "-p", "REQUESTS=200"]
    home = os.environ | {"RTML_HOME": str(tmp_path)}
    done = subprocess.run([*command, "-p", "SERVE_SECONDS=2"], cwd=tmp_path, env=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "runs" / "own" / "metrics.json").read_text())
    check_whose(found)
    assert found["04_online_train"]["served"]["answered"] > 100
    assert found["05_serve"]["served"]["failed"] == 0
    assert json.loads((tmp_path / "runs" / "own" / "status.json").read_text())["state"] == "done"
