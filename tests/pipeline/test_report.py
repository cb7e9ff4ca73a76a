"""The report is one page that asks nobody for anything, shows what the run left, and stays small."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM, Browser
from command_line import command
from hypothesis import given
from hypothesis import strategies as st
from routed import several

from rtml.core.run_folder import open_run
from rtml.core.target import Target
from rtml.pipeline import report, runs, status
from rtml.plots import figures
from rtml.serving.schemas import PredictRequest
from rtml.training.run_config import RunConfig

STATUS = {
    "state": "done", "started": "2026-01-05T10:00:00+00:00", "seconds": 61.2, "profile": "demo", "given": {"SEED": "3"},
    "code": "sha256:00ff", "libraries": {"python": "3.11.7"},
    "notebooks": {"02_features": {"state": "done", "seconds": 9.0}, "03_backtest": {"state": "done", "seconds": 20.0}},
}  # fmt: skip


def drawing(*values):
    time = np.arange(len(values[0])) * 10**13
    return figures.score_over_time({f"model {k}": (time, value) for k, value in enumerate(values)})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    run = open_run("dev", notebook="03_backtest", SEED=3, SYMBOLS=["ETH-USD", "BTC-USD"])
    run.record("headline", r2_zero=0.10342, latency_p99_ms=4.251, champion="rls v3")
    run.record("counts", questions=8640, unanswered=None)
    run.figure("score", drawing(np.arange(9.0)), caption="R2 of the last hour")
    index = pd.Index(["<b>rls</b>", "zero"], name="model")
    run.table(
        "models",
        pd.DataFrame({"R2": [0.1, np.nan], "events_seen": [1234567, 0], "version": ["12e4", "7"]}, index=index),
    )
    run.note("worth", "No result here can be traded at a profit.")
    open_run("dev", notebook="02_features").note("late", "3 events came late & were counted.")
    run.write_json("status.json", STATUS)
    book = {
        "cells": [
            {"cell_type": "markdown", "source": ["# 3 · **Backtest**\n", "\n", "How `good` is it?\n", "\n", "|a|"]}
        ]
    }
    run.write_json("notebooks/03_backtest.ipynb", book)
    return run.folder


class Links(HTMLParser):
    """Every address a page would fetch or go to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [(tag, v) for k, v in attributes if k in ("src", "href", "srcset", "action", "data", "poster")]


def test_nothing_leaves_the_page(folder):
    text = report.write(folder).read_text()
    links = Links()
    links.feed(text)
    assert links.found
    own = [v for tag, v in links.found if tag == "a" and not v.startswith("#")]
    assert own == ["notebooks/03_backtest.ipynb"] and (folder / own[0]).exists(), "a file of the run itself"
    assert all(v.startswith("#") or v in own if tag == "a" else v.startswith("data:image/") for tag, v in links.found)
    assert not re.search(r"https?://|@import|url\(|<script|<link|<iframe", text)
    assert """content="default-src 'none'; style-src 'unsafe-inline'; img-src data:\"""" in text


def test_it_shows_headline_worth_sections_and_parameters_in_order(folder):
    text = report.write(folder).read_text()
    text = text[text.index("<header>") :].replace(text[text.index("<nav") : text.index("</nav>")], "")
    shown = ["Run dev", "0.1034", "4.251", "rls v3", "No result here can be traded", "late &amp; were counted."]
    shown += ["3 · Backtest", "How good is it?", "8,640", "R2 of the last hour", "1,234,567", "ETH-USD", "3.11.7"]
    places = [text.index(words) for words in shown]
    assert places == sorted(places)
    assert text.count("No result here can be traded") == 1


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_on_a_phone_it_does_not_scroll_sideways_and_names_of_columns_stay_whole(folder, tmp_path_factory):
    run = open_run("dev", notebook="03_backtest_progressive_eval")
    run.table(
        "quarantine", pd.DataFrame({"reason": ["side is unknown"], "example": ['{"price": 2400.5, "side": ""} ' * 9]})
    )
    run.write_json("status.json", STATUS | {"notebooks": {run.notebook: {"state": "done", "seconds": 123.4}}})
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        browser.open(report.write(folder).as_uri(), width=390, height=844)
        browser.wait("document.readyState === 'complete'")
        assert browser.value("document.documentElement.scrollWidth") <= browser.value("innerWidth")
        cell = "getComputedStyle(document.querySelector('td[data-column=example]'), '::before')"
        assert browser.value(f"parseFloat({cell}.width)") > 40, "letters below letters"


def test_the_verdict_stands_above_the_headline_numbers_and_nowhere_else(folder):
    open_run("dev", notebook="04_online").note("verdict", "rls does not beat no change.")
    text = report.write(folder).read_text()
    assert text.count("rls does not beat no change.") == 1
    assert text.index("<header>") < text.index("rls does not beat no change.") < text.index("0.1034")


def test_what_was_served_stands_before_the_backtest(folder):
    open_run("dev", notebook="02_features").note("verdict", "rls beats no change in the backtest.")
    later = open_run("dev", notebook="04_online")
    later.record("headline", **{"served R²": 0.0226, "frozen R²": -0.08})
    later.note("verdict", "Served online: better than no change.")
    text = report.write(folder).read_text()
    shown = ["Served online: better", "rls beats no change in", "0.0226", "0.1034", "frozen R²"]
    places = [text.index(words, text.index("<header>")) for words in shown]
    assert places == sorted(places)


def words_of(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page.read_text()).split())


def test_it_stands_beside_the_run_before_of_the_same_use_case(folder):
    for name, use_case, finished in (("old", "crypto", "2026-01-04"), ("older", "crypto", "2026-01-03"), ("x", "y", 1)):
        run = open_run(name, notebook="03_backtest")
        run.record("headline", r2_zero=0.1)
        run.write_json("status.json", STATUS | {"finished": f"{finished}T09:00:00+00:00"})
        run.write_json("recipe.json", {"use_case": use_case})
    assert "Beside the run before" not in words_of(report.write(folder)), "it is of no use case"
    (folder / "recipe.json").write_text(json.dumps({"use_case": "crypto"}))
    text = words_of(report.write(folder))
    assert "What has changed since old, finished 2026-01-04 09:00:00 UTC?" in text
    assert "old now difference r2 zero 0.1 0.1034 0.0034" in text
    mine = runs.result(folder) | {"finished": "2026-01-04T10:00:00+00:00", "numbers": {"r2_zero": 0.2}}
    (folder / "status.json").write_text(json.dumps(STATUS | {"before": mine}))
    assert "before now difference r2 zero 0.2 0.1034 -0.0966" in words_of(report.write(folder)), "itself, before"


def test_a_run_that_starts_again_remembers_what_it_came_to_before(folder):
    begun = status.begin(folder, ["01_ingest"], True, {})
    assert begun.values["before"]["numbers"] == {"r2_zero": 0.10342, "latency_p99_ms": 4.251}
    assert status.begin(folder, ["01_ingest"], True, {}).values["before"] is None, "that one never finished"


def test_what_answered_whom_is_told_with_the_arms_and_who_decided(folder):
    RunConfig.of("crypto", ("ETH-USD",)).write(folder / "recipe.json")
    assert "Who answered" not in words_of(report.write(folder))
    target = Target("return", unit="bp")
    with several(folder / "registry", target=target, log=folder / "predictions.db") as publisher:
        publisher.router.change("ab", {"champion": 0.5, "crypto@2": 0.5}, "ada", "<b>which</b> one?")
        for n in range(60):
            given = publisher.service.ask(PredictRequest(key="ETH-USD", unit=f"u{n}"))
            publisher.service.tell(given.prediction_id, 0.5).result()
    text = report.write(folder).read_text()
    assert "<b>which" not in text
    said = words_of(report.write(folder))
    assert "Now: an A/B test of 100 % of the units: crypto@1 50 %, crypto@2 50 %." in said
    assert "ada an A/B test of 100 % of the units: crypto@1 50 %, crypto@2 50 % &lt;b&gt;which" in said
    first, second = re.search(r"crypto@1 (\d+) \d+ \d+ 0 .* crypto@2 (\d+) \d+ \d+ 0 ", said).groups()
    assert int(first) + int(second) == 60


def test_what_a_run_says_is_text_and_never_markup(folder):
    text = report.write(folder).read_text()
    assert "<b>rls</b>" not in text and "&lt;b&gt;rls&lt;/b&gt;" in text


def test_a_run_that_failed_has_a_report_that_says_where(folder):
    step = {"state": "failed", "cell": 7, "error": "ValueError: no events between 09:00 and 09:05"}
    (folder / "status.json").write_text(json.dumps({"state": "failed", "notebooks": {"01_ingest": step}}))
    text = " ".join(re.sub(r"<[^>]+>", "", report.write(folder).read_text()).split())
    assert "01_ingest failed at cell [7]: ValueError: no events between 09:00 and 09:05" in text


def test_a_run_that_only_began_has_a_report_too(tmp_path, monkeypatch):
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    run = open_run("new", notebook="01_ingest")
    assert "Run new" in report.write(run.folder).read_text()


def test_twenty_five_restless_figures_stay_below_three_megabytes(tmp_path, monkeypatch):
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    run, noise = open_run("dev", notebook="02_features"), np.random.default_rng(7).normal(size=(8, 4000))
    run.figure("noise", drawing(*noise))
    run.write_json("contents.json", {"02_features": run.read_json("contents.json")["02_features"] * 25})
    assert report.write(run.folder).stat().st_size < 3_000_000


def test_a_table_without_rows_says_so(folder):
    open_run("dev", notebook="04_online").table("alerts", pd.DataFrame({"at": [], "text": []}), "Alerts.")
    assert '<td colspan="2">none</td>' in report.write(folder).read_text()


def test_a_long_table_is_cut_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    run = open_run("dev", notebook="02_features")
    run.table("bars", pd.DataFrame({"close": np.arange(1000.0)}))
    assert f"{1000 - report.ROWS} more rows are not shown." in report.write(run.folder).read_text()


def test_the_same_folder_gives_the_same_page(folder):
    assert report.write(folder).read_bytes() == report.write(folder).read_bytes()


@given(st.floats(-1e300, 1e300))
def test_a_number_keeps_its_first_digits(value):
    shown = float(report.number(value).replace(",", ""))
    assert abs(shown - value) <= abs(value) * 5.1e-4


def test_the_command_line_writes_it_again_or_says_what_is_missing(folder, capsys):
    assert command("report", "dev") == 0
    assert capsys.readouterr().out == "runs/dev/report.html\n"
    (folder.parent / "none").mkdir()
    assert command("report", "none") == 2
    assert "runs/none holds no run: make one first (make run-all RUN=none)" in capsys.readouterr().err
