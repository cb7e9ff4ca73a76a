"""Verify: whatever bit is flipped in whatever file of a run, somebody says so or nothing was lost."""

import shutil
from contextlib import closing

import pytest
from stored_files import flip_storm, flipped, write

from rtml.core import digests
from rtml.core.state import dumps
from rtml.pipeline.verify import damages, verify
from rtml.registry.registry import Registry
from rtml.store.facts import Facts
from rtml.store.offline import FeatureTable


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run with a file of every kind."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    folder.mkdir()
    write(folder)
    with closing(Registry(folder / "registry")) as registry:
        version = registry.save("eth", dumps({"models": {}}), at=1, features="f")
        registry.promote("eth", version, "gate passed", at=2)
    table = FeatureTable(folder / "features" / "f1", ("spend",))
    for at in (10, 20):
        table.append(Facts([7, 8], [at, at], [at, at], [[5.0], [9.0]], table.names, "v1"), "log", offset=at)
    (folder / "metrics.json").write_text('{"r2": 0.1}')
    (folder / "report.html").write_text("<p>0.1</p>")
    digests.seal(folder, again=True)
    return folder


def test_a_run_that_nobody_touched_is_sound(run, capsys):
    assert verify(run) == 0
    assert "all are what was written" in capsys.readouterr().out


def test_a_flipped_bit_anywhere_is_found_or_changed_nothing(run):
    found, silent = flip_storm(run, 40, 3, damages)
    assert silent == [] and found >= 20


def test_what_is_wrong_is_named_and_the_exit_code_is_one(run, tmp_path, capsys):
    folder = shutil.copytree(run, tmp_path / "copy")
    (folder / "metrics.json").write_text('{"r2": 0.9}')
    (folder / "report.html").unlink()
    assert verify(folder) == 1
    said = capsys.readouterr().out
    assert "metrics.json is not what was written" in said and "report.html is missing" in said


def test_a_table_reads_no_changed_file_and_heals_a_torn_commit(run, tmp_path):
    folder = shutil.copytree(run / "features" / "f1", tmp_path / "f1")
    commits = sorted((folder / "_delta_log").glob("0*.json"))
    commits[-1].write_bytes(b"")
    table = FeatureTable(folder)
    assert table.offset("log") == 10 and len(table.features()) == 2
    assert table.append(Facts([7], [20], [20], [[5.0]], table.names, "v1"), "log", offset=20) == 1
    for part in folder.glob("*.parquet"):
        part.write_bytes(flipped(part.read_bytes(), 8 * (part.stat().st_size // 2)))
    with pytest.raises(ValueError, match=r"parquet is not what was written"):
        table.features()
