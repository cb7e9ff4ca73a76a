import os
import random
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workers import Workers, die_at_line

from rtml.core import provenance
from rtml.core import state as checkpoint
from rtml.core.clock import moment
from rtml.registry.registry import Registry
from rtml.store.database import prepared

T0 = moment("2026-01-05T00:00:00+00:00")
MINUTE = 60 * 10**9


def state(step: int) -> bytes:
    return checkpoint.dumps({"weights": np.full(2000, float(step))})


def save(registry: Registry, step: int, parent=None):
    data = dict(part="trades", first_offset=100 * step - 99, last_offset=100 * step, first_time=T0, last_time=T0 + step)
    made = dict(parent=parent, data=data, features="f1", metrics={"mse": 1 / step}, describe={"model": "rls"})
    return registry.save("eth", state(step), at=T0 + step * MINUTE, **made)


def save_chain(registry: Registry, steps: int) -> list:
    saved = []
    for step in range(1, steps + 1):
        saved.append(save(registry, step, saved[-1] if saved else None))
    return saved


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


@pytest.fixture(scope="module")
def workers():
    with Workers(__file__) as pool:
        yield pool


def test_a_version_says_what_it_was_made_of(registry):
    first, second = save_chain(registry, 2)
    assert (second.name, second.parent, second.features, second.format) == ("eth@2", first.id, "f1", "flat")
    assert second.data["first_offset"] == 101 and second.data["last_offset"] == 200
    assert second.metrics == {"mse": 0.5} and second.describe == {"model": "rls"}
    assert second.code == provenance.code() and set(second.libraries) == {"python", "numpy", "river", "numba", "rtml"}
    assert registry.load(second) == state(2)
    assert len(second.id) == 16 and int(second.id, 16) >= 0


def test_saving_the_same_again_returns_the_same_version(registry):
    saved = save_chain(registry, 3)
    assert save_chain(registry, 3) == saved
    assert len(registry.versions("eth")) == 3
    assert len(list((registry.path / "blobs").iterdir())) == 3


@pytest.mark.parametrize("change", ["state", "at", "features", "data", "format", "parent", "model"])
def test_another_state_or_lineage_is_another_version(registry, change):
    root = registry.save("eth", b"root", at=T0, features="f1")
    data = dict(part="trades", first_offset=1, last_offset=2)
    made = dict(model="eth", state=b"x", at=T0, features="f1", data=data, format="flat", parent=None)
    other = dict(
        model="btc", state=b"y", at=T0 + 1, features="f2", data=data | {"last_offset": 3}, format="pickle", parent=root
    )
    assert registry.save(**made).id != registry.save(**made | {change: other[change]}).id


def test_metrics_are_kept_as_first_saved(registry):
    first = registry.save("eth", b"x", at=T0, features="f1", metrics={"mse": np.float64(2.0), "auc": float("nan")})
    again = registry.save("eth", b"x", at=T0, features="f1", metrics={"mse": 3.0})
    assert again == first and again.metrics == {"mse": 2.0, "auc": None}


def test_a_version_is_found_by_every_name_it_has(registry):
    first, second = save_chain(registry, 2)
    registry.promote("eth", first, "first", at=T0)
    names = ["eth@1", first.id, first.id[:6], first, "eth@champion"]
    assert [registry.get(name) for name in names] == [first] * 5
    assert registry.get("eth@2") == second


@pytest.mark.parametrize("name", ["eth@9", "btc@1", "0000", "%%%%", "champion", "", "et"])
def test_an_unknown_version_lists_what_exists(registry, name):
    save_chain(registry, 2)
    with pytest.raises(LookupError, match=f"no version {name!r} in .*; it holds eth@1 to eth@2"):
        registry.get(name)


def test_no_champion_says_which_command_makes_one(registry):
    with pytest.raises(LookupError, match=r"no champion of 'eth': run 04_online_train first \(make run-04\)"):
        registry.champion("eth")
    with pytest.raises(LookupError, match="it holds no version yet"):
        registry.get("eth@champion")


@pytest.mark.parametrize("name", ["", "eth@1"])
def test_a_model_name_that_would_not_be_found_again_is_refused(registry, name):
    with pytest.raises(ValueError, match=f"a model's name is not empty and has no '@', got {name!r}"):
        registry.save(name, b"x", at=T0, features="f1")


def test_an_unknown_format_or_parent_is_refused(registry):
    with pytest.raises(ValueError, match="format must be one of flat, pickle, got 'joblib'"):
        registry.save("eth", b"x", at=T0, features="f1", format="joblib")
    with pytest.raises(LookupError, match="no version 'eth@7'"):
        registry.save("eth", b"x", at=T0, features="f1", parent="eth@7")


def test_lineage_leads_up_to_the_root(registry):
    saved = save_chain(registry, 5)
    other = registry.save("eth", b"branch", parent=saved[1], at=T0 + 9 * MINUTE, features="f2")
    assert registry.lineage("eth@5") == saved[::-1]
    assert registry.lineage(other) == [other, saved[1], saved[0]]


def test_a_tampered_state_is_refused(registry):
    saved = save_chain(registry, 2)
    blob = registry.path / "blobs" / saved[1].blob
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match=r"was changed: its content hashes to \w+, not to its name. It is not loaded"):
        registry.load("eth@2")
    assert registry.load("eth@1") == state(1)
    assert save(registry, 2, saved[0]) == saved[1] and registry.load("eth@2") == state(2)  # saving again heals it


def test_a_missing_state_is_said(registry):
    (first,) = save_chain(registry, 1)
    (registry.path / "blobs" / first.blob).unlink()
    with pytest.raises(FileNotFoundError, match="is missing: restore it from a backup, or serve another version"):
        registry.load(first)


@pytest.mark.parametrize("change", ["blob = (select blob from version where number = 1)", "at = at + 1"])
def test_a_tampered_row_is_refused(registry, change):
    save_chain(registry, 2)
    with prepared(sqlite3.connect(registry.path / "registry.db")) as db:
        db.execute(f"update version set {change} where number = 2")
    db.close()
    with pytest.raises(ValueError, match="the row of eth@2 was changed: it does not hash to its id"):
        registry.load("eth@2")


def test_a_tampered_parent_is_refused(registry):
    save_chain(registry, 3)
    root = registry.get("eth@1").id
    with prepared(sqlite3.connect(registry.path / "registry.db")) as db:
        db.execute("update edge set ref = ? where kind = 'parent' and ref != ?", (root, root))
    db.close()
    with pytest.raises(ValueError, match="the row of eth@3 was changed"):
        registry.load("eth@3")


def test_rollback_is_one_call_and_never_goes_forth(registry):
    saved = save_chain(registry, 4)
    for version in saved:
        registry.promote("eth", version, f"gate passed at {version.number}", at=version.at)
    assert registry.rollback("eth", "errors doubled", at=T0 + 5 * MINUTE) == saved[2] == registry.champion("eth")
    assert registry.rollback("eth", "still wrong", at=T0 + 6 * MINUTE) == saved[1]
    registry.promote("eth", saved[3], "repaired", at=T0 + 7 * MINUTE)
    assert registry.rollback("eth", "not repaired", at=T0 + 8 * MINUTE) == saved[1]
    assert registry.rollback("eth", "back to the start", at=T0 + 9 * MINUTE) == saved[0]
    with pytest.raises(LookupError, match="no earlier champion of 'eth' to roll back to: promote a version"):
        registry.rollback("eth", "further", at=T0 + 10 * MINUTE)


def test_the_ledger_says_what_served_and_why(registry):
    saved = save_chain(registry, 2)
    registry.promote("eth", saved[0], "first", at=saved[0].at)
    registry.promote("eth", saved[1], "better by 3 %", at=saved[1].at, evidence={"difference": -0.03})
    registry.promote("eth", saved[1], "again", at=saved[1].at + 1)  # serves already: nothing happens
    registry.rollback("eth", "errors doubled", at=T0 + 5 * MINUTE)
    ledger = registry.ledger("eth")
    assert ledger.action.tolist() == ["promote", "promote", "rollback"]
    assert ledger.before.tolist() == [0, 1, 2] and ledger.number.tolist() == [1, 2, 1]
    assert ledger.why.tolist() == ["first", "better by 3 %", "errors doubled"]
    assert ledger["at"][0] == pd.Timestamp("2026-01-05T00:01:00", tz="UTC")
    assert ledger.difference[1] == -0.03
    served = [registry.served_at("eth", T0 + minute * MINUTE).number for minute in (1, 1.5, 2, 4, 5, 99)]
    assert served == [1, 1, 2, 2, 1, 1]
    with pytest.raises(LookupError, match=r"no champion of 'eth' at 2026-01-05T00:00:00\+00:00: see ledger\('eth'\)"):
        registry.served_at("eth", T0)


def test_what_the_guard_did_stands_in_the_ledger_once_and_changes_neither_what_serves_nor_the_way_back(registry):
    first, second = save_chain(registry, 2)
    registry.promote("eth", first, "first", at=first.at)
    registry.promote("eth", second, "better", at=second.at)
    noted = {"at": T0 + 5 * MINUTE, "why": "the checkpoint is better", "evidence": {"by": "guard", "evidence": 31.0}}
    assert registry.acts.note("eth", "fallback", **noted) and not registry.acts.note("eth", "fallback", **noted)
    assert registry.ledger("eth").action.tolist() == ["promote", "promote", "fallback"]
    assert registry.ledger("eth").by.tolist()[-1] == "guard" and registry.champion("eth") == second
    assert registry.rollback("eth", "by hand", at=T0 + 6 * MINUTE) == first
    registry.acts.note("eth", "reinstated", T0 + 7 * MINUTE, "the learner is better again", {"by": "guard"})
    assert "rolled back (by hand)" in registry.held("eth"), "a person's word outlives what the guard does"
    assert registry.acts.note("btc", "fallback", **noted) and registry.champion("btc").id == "btc@learner"


def test_promoting_a_version_of_another_model_is_refused(registry):
    save_chain(registry, 1)
    with pytest.raises(ValueError, match="eth@1 is no version of 'btc': promote it as 'eth'"):
        registry.promote("btc", "eth@1", "mistake", at=T0)


def test_promoted_says_whether_a_version_ever_served(registry):
    first, second = save_chain(registry, 2)
    registry.promote("eth", first, "first", at=T0)
    assert (registry.promoted(first), registry.promoted(second)) == (True, False)


def test_versions_are_a_table_with_their_metrics(registry):
    assert registry.versions("eth").empty and registry.ledger("eth").empty
    saved = save_chain(registry, 3)
    registry.promote("eth", saved[1], "best", at=saved[1].at)
    frame = registry.versions("eth")
    assert frame.number.tolist() == [1, 2, 3] and frame.parent.tolist() == [0, 1, 2]
    assert frame.champion.tolist() == [False, True, False] and frame.rows.tolist() == [100, 100, 100]
    assert frame.mse.tolist() == [1, 1 / 2, 1 / 3]


@settings(max_examples=15, deadline=None)
@given(moves=st.lists(st.integers(-1, 3), max_size=12))
def test_champion_is_the_last_of_the_ledger_and_rollback_the_one_before(tmp_path_factory, moves):
    registry = Registry(tmp_path_factory.mktemp("registry"))
    saved, reachable = save_chain(registry, 4), []
    for move in moves:
        if move >= 0:
            registry.promote("eth", saved[move], "chosen", at=T0)
            reachable += [saved[move]] if reachable[-1:] != [saved[move]] else []
        elif len(reachable) > 1:
            reachable.pop()
            assert registry.rollback("eth", "undo", at=T0) == reachable[-1]
    if reachable:
        assert registry.champion("eth") == reachable[-1] == registry.served_at("eth", T0)


def test_several_registries_write_one_folder_without_losing_a_number(tmp_path):
    def write(writer: int) -> list:
        registry = Registry(tmp_path)
        saved = [registry.save("eth", f"{writer} {step}".encode(), at=T0, features="f1") for step in range(8)]
        registry.close()
        return saved

    with ThreadPoolExecutor(4) as pool:
        saved = [version for part in pool.map(write, range(4)) for version in part]
    assert sorted(version.number for version in saved) == list(range(1, 33))


def save_until_killed(path: str, acknowledged: str, line: int) -> None:
    """In a worker: save two versions, then go on until killed, at a line of the package when one is given."""
    registry = Registry(path)
    saved = save_chain(registry, 2)
    with open(acknowledged, "ab", buffering=0) as said:
        if line:
            die_at_line(line)
        for step in range(3, 4 if line else 1000):
            saved.append(save(registry, step, saved[-1]))
            registry.promote("eth", saved[-1], "always", at=saved[-1].at)
            said.write(f"{saved[-1].id}\n".encode())


def check_whole(path: str) -> int:
    """Every version loads, numbers have no hole, the chain is complete, nothing is left half."""
    registry = Registry(path)
    count = len(registry.versions("eth"))
    for number in range(1, count + 1):
        assert registry.load(f"eth@{number}") == state(number)
    assert [version.number for version in registry.lineage(f"eth@{count}")] == list(range(count, 0, -1))
    assert not list((registry.path / "blobs").glob("*.part"))
    blobs = {path.name for path in (registry.path / "blobs").iterdir()}
    named = {registry.get(f"eth@{number}").blob for number in range(1, count + 1)}
    assert named <= blobs and len(blobs - named) <= 1  # a state whose row was not written is there for the next try
    registry.close()
    return count


def test_data_or_model_iteration_is_told_by_what_changed(registry):
    made = {"features": "f1", "describe": {"models": {"return": "rls"}}}
    root = registry.save("eth", b"1", at=T0, **made)
    data = registry.save("eth", b"2", at=T0 + 1, parent=root, **made)
    features = registry.save("eth", b"3", at=T0 + 2, parent=data, **made | {"features": "f2"})
    other = {"features": "f2", "describe": {"models": {"return": "tree"}}}
    architecture = registry.save("eth", b"4", at=T0 + 3, parent=features, **other)
    assert [registry.iteration(v) for v in (root, data, features, architecture)] == ["model", "data", "model", "model"]
    assert registry.versions("eth")["iteration"].tolist() == ["model", "data", "model", "model"]


def test_the_data_range_is_a_text(registry):
    (log,) = save_chain(registry, 1)
    delta = registry.save("eth", b"2", at=T0, features="f1", data={"table": "questions", "version": 17})
    assert (log.learned, delta.learned) == ("log:trades@1-100", "delta:questions@17")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"data": {"part": "trades", "first": 1}}, "data of a version: Object contains unknown field `first`"),
        ({"data": {"last_offset": "9"}}, r"Expected `int`, got `str` - at `\$.last_offset`"),
        ({"metrics": {"mse": "good"}}, "metrics of a version: Expected `float | null`, got `str`"),
        ({"describe": {"models": ["rls"]}}, "describe of a version: Expected `object`, got `array`"),
    ],
)
def test_metadata_that_does_not_fit_the_schema_is_refused(registry, wrong, text):
    with pytest.raises(ValueError, match=text):
        registry.save("eth", b"x", at=T0, features="f1", **wrong)
    assert registry.versions("eth").empty


def test_collecting_keeps_what_served_the_newest_and_every_row(registry):
    saved = save_chain(registry, 8)
    registry.promote("eth", saved[1], "first", at=saved[1].at)
    registry.promote("eth", saved[2], "better", at=saved[2].at)
    dropped = registry.collect("eth", keep=3)
    assert [version.number for version in dropped] == [1, 4, 5] and registry.collect("eth", keep=3) == []
    assert [registry.kept(version) for version in saved] == [False, True, True, False, False, True, True, True]
    assert len(registry.versions("eth")) == 8 and registry.lineage(saved[-1])[-1] == saved[0]
    assert registry.rollback("eth", "as ever", at=T0) == saved[1] and registry.load(saved[1]) == state(2)
    with pytest.raises(FileNotFoundError, match=r"or build it again: rtml rebuild"):
        registry.load(saved[3])
    with pytest.raises(ValueError, match="this is not the state of eth@4"):
        registry.put_back("eth@4", state(5))
    registry.put_back("eth@4", state(4))
    assert registry.load("eth@4") == state(4)


def test_a_state_that_another_version_shares_is_not_collected(registry):
    registry.save("eth", b"same", at=T0, features="f1")
    registry.save("btc", b"same", at=T0, features="f1")
    registry.save("eth", b"next", at=T0 + 1, features="f1")
    registry.collect("eth", keep=1)
    assert registry.load("btc@1") == b"same" == registry.load("eth@1")


def test_killed_at_any_line_of_a_save_leaves_nothing_half(workers, tmp_path):
    counts = []
    for line in range(1, 1000, 5):
        path, said = str(tmp_path / str(line)), str(tmp_path / "said")
        code = workers.run("save_until_killed", path, said, line)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        counts.append(check_whole(path))
        registry = Registry(path)
        assert [version.number for version in save_chain(registry, 3)] == [1, 2, 3]  # the next try goes through
        registry.close()
    assert len(counts) > 15 and counts == sorted(counts) and set(counts) == {2, 3}


def test_killed_at_any_moment_keeps_what_was_acknowledged(workers, tmp_path):
    path, said, chance = str(tmp_path / "registry"), str(tmp_path / "said"), random.Random(7)
    for _ in range(6):
        worker = workers.start("save_until_killed", path, said, 0)
        size = os.path.getsize(said) if os.path.exists(said) else 0
        while not os.path.exists(said) or os.path.getsize(said) < size + 17 * 3:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02))
        assert workers.kill(worker) == -signal.SIGKILL
        check_whole(path)
        registry = Registry(path)
        acknowledged = Path(said).read_text().split()
        assert all(registry.get(id).id == id for id in acknowledged)
        registry.close()
