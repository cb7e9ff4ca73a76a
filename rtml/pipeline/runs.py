"""Runs side by side: which there are, what they came to, and in what two of them differ.

Everything is read from ``status.json``, ``recipe.json``, ``parameters.json`` and ``metrics.json`` of the run folders;
a paired comparison also reads what both trainings predicted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtml.core.run_folder import home, run_folder
from rtml.evaluation.paired import verdicts

if TYPE_CHECKING:
    import pandas as pd

ABOUT = ("run", "use_case", "source", "state", "started", "seconds")
MORE = ("events", "first", "last", "code")  # columns that a condition may name: the data, and the code's hash


def folders() -> list[Path]:
    """Folders of all runs below ``runs/``, by name.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from unittest.mock import patch
    >>> with TemporaryDirectory() as top, patch.dict("os.environ", RTML_HOME=top):
    ...     for name in ("dev", "half_made"):
    ...         (Path(top) / "runs" / name).mkdir(parents=True)
    ...     (Path(top) / "runs" / "dev" / "status.json").touch()
    ...     [found] = folders()
    >>> found.name
    'dev'
    """
    return sorted(path.parent for path in (home() / "runs").glob("*/status.json") if not path.parent.is_symlink())


def newest_finished() -> Path | None:
    """Folder of the run that finished last; None where none has.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from unittest.mock import patch
    >>> with TemporaryDirectory() as top, patch.dict("os.environ", RTML_HOME=top):
    ...     for name, status in {"old": "done", "new": "running"}.items():
    ...         (folder := Path(top) / "runs" / name).mkdir(parents=True)
    ...         _ = (folder / "status.json").write_text(json.dumps({"state": status}))
    ...     print(newest_finished().name)
    old
    """
    done = [folder for folder in folders() if state(folder) == "done"]
    return max(done, key=lambda folder: read(folder, "status.json").get("finished") or "", default=None)


def state(folder: Path) -> str:
    """State of a run: done, failed, interrupted or running; empty where there is no run.

    Examples
    --------
    >>> state(Path("nowhere"))
    ''
    """
    return read(folder, "status.json").get("state", "")


def runs(where: str = "", sort: str = "") -> pd.DataFrame:
    """All runs, one row per run: what it is of, its state and its headline metrics.

    Parameters
    ----------
    where
        Condition on the columns, such as ``"auc > 0.6 and use_case == 'crypto'"``. Any recorded metric may be named,
        headline or not, by the last part of its name; so may ``events``, ``first`` and ``last`` of the data, and
        ``code``.
    sort
        Column to sort by, largest first; ``-name`` puts the smallest first. The newest run comes first unless given.

    Returns
    -------
    A frame without rows where there is no run.
    """
    import pandas as pd

    every = [_row(folder) for folder in folders()]
    frame = pd.DataFrame(every, columns=list(dict.fromkeys([*ABOUT, *MORE, *(name for row in every for name in row)])))
    by = sort.removeprefix("-") or "started"
    if by not in frame:
        raise LookupError(f"no run has a column {by!r}; there are: {', '.join(frame.columns)}")
    try:
        found = frame.query(where) if where and len(frame) else frame
    except Exception as ex:  # pandas raises whatever its parser met
        raise ValueError(f"--where {where!r} cannot be evaluated: {ex}; columns: {', '.join(frame.columns)}") from ex
    headlines = [headline(read(folder, "metrics.json")) for folder in folders()]
    shown = {*ABOUT, by, *(name for numbers in headlines for name in numbers)}
    named = [str(name) for name in frame if name in shown or re.search(rf"\b{re.escape(str(name))}\b", where)]
    return found.sort_values(by, ascending=sort.startswith("-"), kind="stable")[named].reset_index(drop=True)


def result(folder: Path) -> dict[str, Any] | None:
    """What a finished run came to, in headline numbers, and of which use case; None where it did not finish.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> status = {"state": "done", "finished": "2026-01-05T00:00:00+00:00"}
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "status.json").write_text(json.dumps(status))
    ...     _ = (Path(folder) / "metrics.json").write_text('{"03_backtest": {"headline": {"auc": 0.61}}}')
    ...     print(result(Path(folder))["numbers"], result(Path(folder) / "other"))
    {'auc': 0.61} None
    """
    status = read(folder, "status.json")
    if status.get("state") != "done":
        return None
    about = {"run": folder.name, "finished": status.get("finished") or status["started"]}
    about["use_case"] = read(folder, "recipe.json").get("use_case", "")
    return about | {"numbers": headline(read(folder, "metrics.json"))}


def before(folder: Path) -> dict[str, Any] | None:
    """What the run before came to, of the same use case: another one, or this one as it was before; None without.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> earlier = {"run": "dev", "use_case": "", "finished": "2026-01-05", "numbers": {"auc": 0.61}}
    >>> status = {"started": "2026-01-06", "before": earlier}
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "status.json").write_text(json.dumps(status))
    ...     print(before(Path(folder))["numbers"])
    {'auc': 0.61}
    """
    status, use_case = read(folder, "status.json"), read(folder, "recipe.json").get("use_case", "")
    every = [status.get("before"), *(result(other) for other in folders() if other.name != folder.name)]
    earlier = [one for one in every if one and one["use_case"] == use_case and one["finished"] <= status["started"]]
    return max(earlier, key=lambda one: one["finished"], default=None)


def compare_runs(*names: str | Path) -> pd.DataFrame:
    """Runs side by side: what differs of their parameters and versions, and all metrics.

    Parameters
    ----------
    names
        Names or folders of two runs or more.

    Returns
    -------
    One row per value, indexed by (kind, name), one column per run; for two runs also their difference, second minus
    first.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as top:
    ...     for name, auc in {"first": 0.61, "second": 0.64}.items():
    ...         (folder := Path(top) / name).mkdir()
    ...         _ = (folder / "status.json").write_text("{}")
    ...         _ = (folder / "metrics.json").write_text(json.dumps({"03_backtest": {"auc": auc}}))
    ...     found = compare_runs(Path(top) / "first", Path(top) / "second")
    >>> found["difference"].round(2).to_dict()
    {('metric', '03_backtest.auc'): 0.03}
    """
    import pandas as pd

    values = {str(name): _values(run_folder(name)) for name in names}
    frame = pd.DataFrame(values, index=pd.MultiIndex.from_tuples(_in_order(values.values()), names=["kind", "name"]))
    same = frame.map(json.dumps).nunique(axis=1) == 1
    frame = frame[~same | (frame.index.get_level_values("kind") == "metric")]
    if len(values) == 2:
        first, second = (pd.to_numeric(frame[run], errors="coerce") for run in frame.columns)
        frame = frame.assign(difference=second - first)
    return frame


def compare(first: str | Path, second: str | Path) -> int:
    """Print two runs side by side, then what they lost on the same questions; the exit code of ``rtml compare``."""
    show([str(first), str(second)])
    print("\n" + "\n".join(verdicts(first, second)))
    return 0


def show(names: Sequence[str] = (), where: str = "", sort: str = "") -> int:
    """Print the runs, or those named side by side; the exit code of ``rtml runs``."""
    import pandas as pd

    found = compare_runs(*names) if names else runs(where, sort)
    with pd.option_context("display.width", 250, "display.max_rows", 2000):
        print(found.to_string(na_rep="", index=bool(names), max_colwidth=44, float_format="{:.4g}".format))
    return 0


def _row(folder: Path) -> dict[str, Any]:
    """One run as a row: every metric under the last part of its name, those of the headline first."""
    status = read(folder, "status.json")
    recipe = read(folder, "recipe.json")
    metrics = read(folder, "metrics.json")
    about = {**recipe, **status, "run": folder.name}
    every = {name.rpartition(".")[2]: value for name, value in reversed(_flat(metrics).items()) if _is_number(value)}
    named = headline(metrics) | every | headline(metrics)
    about |= status.get("data", {})
    return {name: about.get(name) for name in (*ABOUT, *MORE)} | {
        name: named[name] for name in named if name not in (*ABOUT, *MORE)
    }


def headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of all headlines of a run, each under its own name.

    Examples
    --------
    >>> headline({"03_backtest": {"headline": {"auc": 0.61, "model": "rls"}, "detail": {"mse": 0.5}}})
    {'auc': 0.61}
    """
    found = [groups.get("headline", {}) for _, groups in sorted(metrics.items())]
    return {name: value for numbers in found for name, value in numbers.items() if _is_number(value)}


def _values(folder: Path) -> dict[tuple[str, str], Any]:
    """Everything that is compared of a run, by kind and name."""
    if not (folder / "status.json").exists():
        raise FileNotFoundError(f"no run {folder.name!r}; there are: {', '.join(f.name for f in folders()) or 'none'}")
    status = read(folder, "status.json")
    versions = {"code": status.get("code"), **status.get("libraries", {})}
    parts = {"parameter": _flat(read(folder, "parameters.json")), "data": status.get("data", {}), "version": versions}
    parts["metric"] = _flat(read(folder, "metrics.json"))
    return {(kind, name): value for kind, part in parts.items() for name, value in part.items()}


def _in_order(parts: Iterable[Mapping[tuple[str, str], Any]]) -> list[tuple[str, str]]:
    """Names of several runs in the order in which they first appear, kind by kind."""
    names = dict.fromkeys(name for part in parts for name in part)
    return sorted(names, key=lambda name: ("parameter", "data", "version", "metric").index(name[0]))


def _flat(values: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    """Nested values by their dotted names, without the notebook's number."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{head}{name}.") if isinstance(value, Mapping) else {f"{head}{name}": value}
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read(folder: Path, name: str) -> dict[str, Any]:
    """JSON of a run, empty where the run did not get that far.

    Examples
    --------
    >>> read(Path("nowhere"), "metrics.json")
    {}
    """
    path = folder / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
