"""JupyterLab works on copies: a tracked notebook is never saved to, and a user's changes are never lost."""

import os

import pytest

from rtml.pipeline import lab


@pytest.fixture
def books(tmp_path):
    (tmp_path / "notebooks" / "studies").mkdir(parents=True)
    for name in ("01_ingest.ipynb", "studies/one.ipynb", "studies/parts.py"):
        (tmp_path / "notebooks" / name).write_text(name)
    return tmp_path / "notebooks"


def test_copies_follow_the_notebooks_and_keep_what_a_user_changed(books):
    copies = books.with_name("lab")
    lab.copies(books, copies)
    assert (copies / "studies/parts.py").read_text() == "studies/parts.py"
    (copies / "01_ingest.ipynb").write_text("mine")
    lab.copies(books, copies)
    assert (copies / "01_ingest.ipynb").read_text() == "mine", "the notebook is no newer than the copy"
    (books / "01_ingest.ipynb").write_text("newer")
    later = (copies / "01_ingest.ipynb").stat().st_mtime + 5
    os.utime(books / "01_ingest.ipynb", (later, later))
    lab.copies(books, copies)
    assert (copies / "01_ingest.ipynb").read_text() == "newer"
    assert (copies / "01_ingest.previous.ipynb").read_text() == "mine"


def test_it_opens_at_the_root_after_a_first_run_that_finished(books, monkeypatch):
    started, codes = [], [1, 0]
    monkeypatch.setenv("RTML_HOME", str(books.parent))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    monkeypatch.setattr(lab, "NOTEBOOKS", books)
    monkeypatch.setattr(lab.os, "execv", lambda program, words: started.append(words))
    monkeypatch.setattr(lab, "run_notebooks", lambda run: codes.pop(0))
    (books.parent / "runs/dev").mkdir(parents=True)
    (books.parent / "runs/dev/report.html").touch()
    assert lab.lab() == 1 and not started, "a report of a run that failed is not a first run"
    lab.lab(["--no-browser"])
    (words,) = started
    assert words[-1] == str(books.parent / "lab/01_ingest.ipynb") and words[-2] == "--no-browser"
    assert f"--ServerApp.root_dir={books.parent}" in words and "--LabApp.news_url=None" in words
    (books.parent / "runs/dev/status.json").write_text('{"state": "done"}')
    lab.lab()
    assert len(started) == 2 and not codes, "no second demo run"
