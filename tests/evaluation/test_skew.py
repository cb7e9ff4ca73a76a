"""The check of served against recomputed features: silent when they are the same, precise when one bit differs."""

import itertools
import shutil

import numpy as np
import pytest
from command_line import carry_out
from runs import market_run
from store.test_materialize import payments, stream

from rtml.evaluation.skew import Inconsistent, check, compare, recompute
from rtml.sources.catalogue import open_source
from rtml.store.event_log import EventLog
from rtml.store.prediction_log import PredictionLog
from rtml.training.run_config import PART
from rtml.usecases.crypto.schema import TRADES


@pytest.fixture
def recomputed(tmp_path):
    with EventLog(tmp_path / "events.db") as log:
        log.append("payments", payments(300))
        yield recompute(stream(), log, "payments")


@pytest.fixture
def served(tmp_path):
    log = PredictionLog(tmp_path / "predictions.db")
    yield log
    log.close()


def serve(log, facts, rows, changed=None, version="v1", moved=0):
    """Log predictions of some facts, the last one with a feature changed."""
    log.define(version, facts.names, facts.definition[0] if version == "v1" else "another")
    for row in rows:
        x = facts.values[row].copy()
        if changed is not None and row == rows[-1]:
            x[changed] = np.nextafter(x[changed], np.inf)
        at = int(facts.happened[row]) + moved
        log.append(at, at, str(facts.key[row]), version, 0, None, x.tobytes(), 0.5, None, 900)


def lonely(facts):
    """Rows whose key and moment no other has."""
    at = list(zip(facts.key.tolist(), facts.happened.tolist(), strict=True))
    return [row for row, place in enumerate(at) if at.count(place) == 1]


def test_what_was_served_as_the_log_gives_it_passes(served, recomputed):
    serve(served, recomputed, range(len(recomputed)))
    found = check(served, recomputed)
    assert (found.compared, found.differing, found.own, found.other) == (len(recomputed), 0, 0, 0)


def test_one_bit_of_one_feature_fails_with_key_moment_feature_and_difference(served, recomputed):
    rows = lonely(recomputed)[:9]
    serve(served, recomputed, rows, changed=1)
    with pytest.raises(Inconsistent) as error:
        check(served, recomputed)
    value, key = recomputed.values[rows[-1], 1], recomputed.key[rows[-1]]
    assert "9 served predictions compared with the log" in str(error.value) and "; 1 differ;" in str(error.value)
    assert f"count of {key} at 2023-11-" in str(error.value) and f"and is {float(value)!r}, +" in str(error.value)


def test_a_feature_that_is_served_a_step_early_is_caught(served, recomputed):
    rows = lonely(recomputed)
    served.define("v1", recomputed.names)
    for before, row in itertools.pairwise(rows):
        at = int(recomputed.happened[row])
        x = recomputed.values[before].tobytes()
        served.append(at, at, str(recomputed.key[row]), "v1", 0, None, x, 0.5, None, 900)
    assert compare(served, recomputed).differing > 0.9 * len(rows)


def test_features_of_a_request_are_no_difference_unless_asked_for(served, recomputed):
    rows = lonely(recomputed)[:5]
    serve(served, recomputed, rows, changed=0, moved=1)
    found = check(served, recomputed)
    assert (found.compared, found.by_value, found.own) == (0, 4, 1)
    with pytest.raises(Inconsistent, match="spend of"):
        check(served, recomputed, strict=True)


def test_what_another_definition_served_is_counted_and_columns_go_by_name(served, recomputed):
    serve(served, recomputed, range(5), version="v2")
    found = check(served, recomputed)
    assert (found.compared, found.other) == (0, 5)
    served.define("v3", ("spend", "visits"))
    served.append(1, 1, "0", "v3", 0, None, recomputed.values[0].tobytes(), 0.5, None, 900)
    with pytest.raises(LookupError, match="'count' was served or is declared, but not both"):
        check(served, recomputed)


def test_the_command_checks_a_run_and_fails_with_a_sentence(tmp_path, capsys):
    config = market_run(("ETH-USD", "BTC-USD")).write(tmp_path / "recipe.json")
    with EventLog(tmp_path / "events.db") as log:
        for raw in open_source("synthetic", hours=0.2).chunks(5000):
            log.append(PART, TRADES.accept(raw, (*config.keys, *config.options["inputs"]))[0])
        asked = config.operator().push(log.read(PART, 0, 10**6)[1])
    served = PredictionLog(tmp_path / "predictions.db")
    served.define("champion-v1", config.operator().features.names, config.operator().features.definition)
    for at, x in zip(asked.moment.tolist(), asked.X, strict=True):
        served.append(at, at, config.keys[0], "champion-v1", 0, None, x.tobytes(), 0.5, None, 900)
    served.flush()
    carry_out("check", tmp_path)
    assert f"{len(asked.id):,} served predictions compared with the log" in capsys.readouterr().out
    x = asked.X[-1] + 1.0
    served.append(at, at, config.keys[0], "champion-v1", 0, None, x.tobytes(), 0.5, None, 900)
    served.close()
    with pytest.raises(SystemExit):
        carry_out("check", tmp_path)
    assert f"return_1 of {config.keys[0]} at 20" in capsys.readouterr().err
    shutil.move(tmp_path / "predictions.db", tmp_path / "elsewhere.db")
    with pytest.raises(SystemExit):
        carry_out("check", tmp_path)
    assert "run 05_serve first" in capsys.readouterr().err
