"""The report of a run: one page without any request to anywhere, built from the run's folder alone."""

from __future__ import annotations

import base64
import json
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from rtml.core import digests
from rtml.core.run_folder import run_folder, shown
from rtml.evaluation.paired import verdicts
from rtml.pipeline.route import routed
from rtml.pipeline.runs import before, headline, read
from rtml.store.database import exists

ROWS = 200  # of a table; what is longer is cut with a note
UNITS = {"s": "s", "ms": "ms", "us": "µs", "ns": "ns", "bp": "bp", "bps": "bp", "kb": "kB", "mb": "MB", "pct": "%"}
MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?\+00:00")
RUN: dict[str, Any] = {
    "state": "",
    "started": "",
    "seconds": None,
    "profile": "",
    "given": {},
    "code": "",
    "libraries": {},
    "notebooks": {},
}
NOTES = ("verdict", "worth")  # notes that stand at the top: above the headline numbers, and below them
STEP = {"state": "", "seconds": None, "cell": None, "error": ""}
TITLE = re.compile(r"^#\s+(.+?)\s*$", re.MULTILINE)


def write(folder: Path) -> Path:
    """Write ``report.html`` into a run folder from what the run left there, whole or in part.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     page = write(Path(folder))
    ...     print(page.name, "<html" in page.read_text(encoding="utf-8"))
    report.html True
    """
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template.filters |= {"words": words, "number": number, "literal": json.dumps}
    page = template.from_string(files("rtml.pipeline").joinpath("report.html").read_text(encoding="utf-8"))
    path = folder / "report.html"
    path.write_text(page.render(**contents(folder)), encoding="utf-8")
    return path


def contents(folder: Path) -> dict:
    """What the page shows: the state of the run, its headline, and a section for each notebook.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> note = {"kind": "note", "name": "verdict", "text": "Served: better."}
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "contents.json").write_text(json.dumps({"04_online_train": [note]}))
    ...     found = contents(Path(folder))
    >>> found["sections"][0]["title"], found["said"]["verdict"]
    ('online train', ['Served: better.'])
    """
    status = RUN | read(folder, "status.json")
    steps = {name: STEP | step for name, step in status["notebooks"].items()}
    contents, parameters = read(folder, "contents.json"), read(folder, "parameters.json")
    names = sorted({*contents, *parameters, *steps})
    sections = [section(folder, name, contents.get(name, []), parameters.get(name, {})) for name in names]
    sections += [part for part in (who_answered(folder), beside(folder, status)) if part["items"]]
    for each in sections:
        each["status"] = steps.get(each["name"], STEP)
    every = [item for each in sections for item in each["items"]]
    numbers = [pair for i in every if i["kind"] == "numbers" and i["name"] == "headline" for pair in i["pairs"]]
    notes = {name: [i["text"] for i in every if i["kind"] == "note" and i["name"] == name] for name in NOTES}
    return {
        "run": folder.name,
        "status": status,
        "steps": steps,
        "sections": sections,
        "headline": sorted(numbers, key=lambda pair: not pair["label"].startswith("served")),  # then the backtest's
        "said": {name: sorted(texts, key=lambda text: not text.startswith("Served")) for name, texts in notes.items()},
    }


def section(folder: Path, name: str, items: list[dict], parameters: dict) -> dict:
    """One notebook's part of the page.

    Examples
    --------
    >>> note = {"kind": "note", "name": "verdict", "text": "It does."}
    >>> made = section(Path("nowhere"), "03_backtest", [note], {"SEED": 7})
    >>> made["title"], made["items"][0]["caption"], made["parameters"]
    ('backtest', '', {'SEED': 7})
    """
    title, question = heading(folder / "notebooks" / f"{name}.ipynb")
    metrics = read(folder, "metrics.json").get(name, {})
    return {
        "name": name,
        "title": title or words(name),
        "question": question,
        "parameters": parameters,
        "notebook": f"notebooks/{name}.ipynb" if title else "",
        "items": [{"caption": "", **item, **loaded(folder, item, metrics)} for item in items],
    }


def extra(name: str, title: str, question: str, items: list[dict]) -> dict:
    """A part of the page that no notebook wrote.

    Examples
    --------
    >>> extra("before", "Beside the run before", "What changed?", [{"kind": "note", "text": "Nothing."}])["items"]
    [{'caption': '', 'name': 'before', 'kind': 'note', 'text': 'Nothing.'}]
    """
    about = {"name": name, "title": title, "question": question, "parameters": {}, "notebook": ""}
    return about | {"items": [{"caption": "", "name": name} | item for item in items]}


def who_answered(folder: Path) -> dict:
    """Routes of the run: what answered whom, who decided it, and how the arms of the newest test did."""
    found = routed(folder)
    items = [{"kind": "note", "text": f"Now: {found['now']}."}] if found else []
    captions = {"arms": "gain: loss a unit less than the first arm's, with a 95 % interval", "entries": ""}
    for name, caption in captions.items():
        if found and found[name]["rows"]:
            items.append({"kind": "table", "name": name, "caption": caption} | cells(found[name]))
    return extra("routing", "Who answered", "Did several versions answer, and which was better?", items)


def beside(folder: Path, status: dict) -> dict:
    """The headline numbers beside those of the run before, and what both lost on the same questions."""
    old = before(folder) if status["started"] else None
    if old is None:
        return extra("before", "", "", [])
    now = headline(read(folder, "metrics.json"))
    rows = [[words(name), was, now[name], now[name] - was] for name, was in old["numbers"].items() if name in now]
    other = run_folder(old["run"])
    paired = other != folder and all(exists(one / "training.db") for one in (other, folder))
    table = {"columns": ["", old["run"] if other != folder else "before", "now", "difference"], "rows": rows}
    items = [{"kind": "note", "text": sentence} for sentence in (verdicts(other, folder) if paired else [])]
    items += [{"kind": "table", "name": "headline numbers"} | cells(table)] if rows else []
    finished = number(old["finished"][:19] + "+00:00")
    return extra("before", "Beside the run before", f"What has changed since {old['run']}, finished {finished}?", items)


def loaded(folder: Path, item: dict, metrics: dict) -> dict:
    """What an item of the contents shows: a figure's bytes, a table's cells, the numbers of a record.

    Examples
    --------
    >>> loaded(Path("runs/dev"), {"kind": "numbers", "name": "headline"}, {"headline": {"latency_p99_ms": 4.25}})
    {'pairs': [{'label': 'latency p99', 'value': '4.25', 'unit': 'ms'}]}
    """
    if item["kind"] == "figure":
        picture = base64.b64encode((folder / item["file"]).read_bytes()).decode()
        return {"source": f"data:image/png;base64,{picture}"}
    if item["kind"] == "table":
        return cells(read(folder, item["file"]))
    if item["kind"] == "numbers":
        return {"pairs": [spoken(key, value) for key, value in metrics.get(item["name"], {}).items()]}
    return {}


def cells(table: dict) -> dict:
    """Cells of a table as text, how each column leans, and how many rows are left out.

    Examples
    --------
    >>> table = cells({"columns": ["model", "mse"], "rows": [["rls", 0.51239], ["blend", 0.5]]})
    >>> table["columns"], table["rows"][1], table["left_out"]
    ([('model', ''), ('mse', 'n')], [('blend', ''), ('0.5000', 'n')], 0)
    """
    columns = [list(column) for column in zip(*table["rows"], strict=True)] or [[] for _ in table["columns"]]
    shown = zip(*(aligned(column[:ROWS]) for column in columns), strict=True)
    leans = ["n" if numeric(column) else "t" if all(map(moment, column)) else "" for column in columns]
    return {
        "columns": list(zip(map(words, table["columns"]), leans, strict=True)),
        "rows": [list(zip(row, leans, strict=True)) for row in shown],
        "left_out": max(0, len(table["rows"]) - ROWS),
    }


def numeric(column: list) -> bool:
    """Whether a column holds numbers only, some perhaps missing.

    Examples
    --------
    >>> numeric([1, 2.5, None]), numeric([1, "two"]), numeric([None])
    (True, False, False)
    """
    kinds = {type(value) for value in column}
    return bool(kinds & {int, float}) and kinds <= {int, float, type(None)}


def aligned(column: list) -> list[str]:
    """Values of a column as text; fractions with as many digits as the one that needs most, at most four.

    Examples
    --------
    >>> aligned([3.9412, 3.8, None]), aligned(["rls", 1]), aligned([0.5, 0.00001])
    (['3.941', '3.800', '–'], ['rls', '1'], ['0.5', '1e-05'])
    """
    fractions = [value for value in column if isinstance(value, float)]
    if not fractions or any(0 < abs(value) < 1e-4 or abs(value) >= 1e6 for value in fractions):
        return [number(value) for value in column]
    digits = max(len(number(value).partition(".")[2]) for value in fractions)
    return [f"{value:,.{min(digits, 4)}f}" if isinstance(value, float) else number(value) for value in column]


def spoken(key: str, value) -> dict:
    """A recorded number with its name in words and its unit, which is the end of the name.

    Examples
    --------
    >>> spoken("latency_p99_ms", 4.25)
    {'label': 'latency p99', 'value': '4.25', 'unit': 'ms'}
    """
    head, _, unit = key.rpartition("_")
    known = bool(head) and unit in UNITS
    return {"label": words(head if known else key), "value": number(value), "unit": UNITS[unit] if known else ""}


def words(name: str) -> str:
    """Name as words: ``03_backtest_progressive_eval`` without its number and underscores.

    Examples
    --------
    >>> words("03_backtest_progressive_eval")
    'backtest progressive eval'
    """
    return re.sub(r"^\d+_", "", name).replace("_", " ")


def number(value) -> str:
    """Value as a reader takes it in: four significant digits, thousands apart, a moment without its T.

    Examples
    --------
    >>> number(1234567), number(0.0123456), number(1234.5678), number(None), number("2026-01-05T00:00:00.250000+00:00")
    ('1,234,567', '0.01235', '1,235', '–', '2026-01-05 00:00:00.25 UTC')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    when = moment(value)
    return f"{when[1]} {when[2]}{(when[3] or '').rstrip('0').rstrip('.')} UTC" if when else str(value)


def moment(value) -> re.Match | None:
    """Parts of a moment in ISO text.

    Examples
    --------
    >>> moment("2026-01-05T00:00:00+00:00")[2], moment("noon")
    ('00:00:00', None)
    """
    return MOMENT.fullmatch(value) if isinstance(value, str) else None


def heading(notebook: Path) -> tuple[str, str]:
    r"""Title of an executed notebook and the question below it; empty where there is none.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> cell = {"cell_type": "markdown", "source": ["# 3 · Backtest\n\n", "Does it predict **anything**?"]}
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "03_backtest.ipynb"
    ...     _ = path.write_text(json.dumps({"cells": [cell]}), encoding="utf-8")
    ...     print(heading(path))
    ('3 · Backtest', 'Does it predict anything?')
    """
    if not notebook.exists():
        return "", ""
    every = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in every if cell["cell_type"] == "markdown"]
    title = next((found for text in texts if (found := TITLE.search(text))), None)
    if title is None:
        return "", ""
    below = title.string[title.end() :].strip().split("\n\n")[0]
    return plain_text(title[1]), "" if below.startswith("|") else plain_text(below)


def plain_text(markdown: str) -> str:
    """Markdown without its marks.

    Examples
    --------
    >>> plain_text("**How** well does `rls` do, see [notebook 3](x.ipynb)?")
    'How well does rls do, see notebook 3?'
    """
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", re.sub(r"[*`]", "", markdown)).replace("\n", " ")


def rewrite(run: Path) -> int:
    """Write the report of a run again and print where it is; the exit code of ``rtml report RUN``.

    Examples
    --------
    >>> rewrite(Path("nowhere"))
    2
    """
    if not (run / "status.json").exists():
        print(f"{shown(run)} holds no run: make one first (make run-all RUN={run.name})", file=sys.stderr)
        return 2
    page = write(run)
    digests.add(run, [page.name])
    print(shown(page))
    return 0
