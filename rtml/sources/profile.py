"""What is in a recording before it is used: how each column is read, what will be put aside, the first rows."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rtml.core import plugin
from rtml.core.clock import Clock, utc
from rtml.core.later import pd
from rtml.core.use_case import load_use_case
from rtml.sources.catalogue import open_source
from rtml.sources.moments import form_of
from rtml.sources.protocol import Recording

_HEAD = 5


@dataclass(frozen=True)
class Profile:
    """What a recording holds, as it will be read.

    Attributes
    ----------
    columns
        One row per column of a file: what it is read as, how it is written, the share that is missing, an example.
    facts
        Rows, keys, range: name and value of each.
    quarantine
        Rows that will be put aside, by reason, with an example.
    head
        The first raw rows.
    """

    source: str
    columns: pd.DataFrame
    facts: Mapping[str, str]
    quarantine: pd.DataFrame
    head: pd.DataFrame
    notes: tuple[str, ...]

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables that are shown, by title."""
        facts = pd.DataFrame(self.facts.items(), columns=["what", "value"]).set_index("what")
        named = {"columns": self.columns, "facts": facts}
        return named | {"to be put aside": self.quarantine, "first rows as they will be read": self.head}

    def _shown(self) -> list[tuple[str, pd.DataFrame]]:
        return [(name, table) for name, table in self.tables().items() if len(table)]

    def __str__(self) -> str:
        parts = [f"{name}\n{table.to_string(max_colwidth=100)}" for name, table in self._shown()]
        return "\n\n".join([self.source, *self.notes, *parts])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in (self.source, *self.notes))
        return notes + "".join(f"<h4>{name}</h4>{table.to_html(max_rows=60)}" for name, table in self._shown())


def profile(source: Recording) -> Profile:
    """Look at a recording of any use case.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from rtml.sources.records import Records
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "bikes.csv"
    ...     _ = file.write_text("time,KEY,bikes\\n2025-01-31T09:30Z,north,3\\n2025-01-31T09:31Z,north,many\\n")
    ...     event = np.dtype([("time", "<i8"), ("key", "<i4"), ("bikes", "<f8")])
    ...     read = profile(Records(file, event))
    >>> read.columns["read as"].tolist(), read.quarantine["rows"].to_dict()
    (['time', 'key', 'bikes'], {'bikes is not a finite number': 1})
    """
    return seen(source)[0]


def seen(source: Recording) -> tuple[Profile, np.ndarray]:
    """The profile of a recording, and the events that it will give."""
    frame = next(source.chunks(max(source.rows, 1)))
    events, rejected = source.schema.accept(frame, source.symbols)
    facts = {"rows": f"{source.rows:,}", "to be put aside": f"{len(rejected):,}"}
    if len(events):
        ends = int(events["time"].min()), int(events["time"].max())
        facts["first"], facts["last"] = (f"{utc(t):%Y-%m-%d %H:%M:%S} UTC" for t in ends)
    quarantine = rejected.groupby("reason").agg(rows=("row", "size"), example=("row", "first"))
    head = frame.head(_HEAD).assign(time=[moment_text(t) for t in frame["time"].head(_HEAD)])
    return Profile(source.name, _columns(source), facts, quarantine, head, source.notes), events


def moment_text(time: object) -> str:
    """A time in ns as ISO text; anything else as it is written.

    Examples
    --------
    >>> moment_text(1_735_689_600 * 10**9), moment_text("soon")
    ('2025-01-01T00:00:00+00:00', 'soon')
    """
    return utc(time).isoformat() if isinstance(time, int | np.integer) and time > 0 else str(time)


def _columns(source: Recording) -> pd.DataFrame:
    rows = []
    for file, table, names in source.read_as:
        ours = {theirs: name for name, theirs in names.items()}
        for name in table.columns:
            column, meaning = table[name], ours.get(name, "")
            given = column.dropna()
            how = form_of(column, Clock().now()) if meaning in ("time", "date") else str(column.dtype)
            example = str(given.iloc[0]) if len(given) else ""
            rows.append((file, name, meaning, how, f"{column.isna().mean():.1%}", example))
    return pd.DataFrame(rows, columns=["file", "column", "read as", "written as", "missing", "example"])


def inspect(file: str, use_case: str, columns: str = "{}", symbols: str = "", bar: str = "") -> None:
    """Print what is in a file before it is used, as its use case reads it, and the command that uses it.

    Parameters
    ----------
    file
        A file, or what else the use case takes as a recording.
    use_case
        Whose recording it is.
    columns
        JSON: our names to the file's, such as ``{"price": "last"}``.
    symbols
        Comma separated, the target first; all when empty.
    bar
        Length of the bars that are to be made, where the use case makes bars.
    """
    case = load_use_case(use_case)
    try:
        named = json.loads(columns)
    except json.JSONDecodeError as wrong:
        raise ValueError(f"--columns must be a JSON object or list, got {columns!r}: {wrong}") from wrong
    asked = {"symbols": tuple(s.strip() for s in symbols.split(",") if s.strip())} if symbols else {}
    try:
        source = open_source(file, case, columns=named, **asked)
    except (ValueError, LookupError) as wrong:  # sentences speak of the parameter of notebook 01
        text = re.sub(r"COLUMNS=(\{[^}]*\}|\[[^\]]*\])", r"--columns '\1'", str(wrong.args[0]))
        raise type(wrong)(text) from wrong
    if not isinstance(source, Recording):
        raise ValueError(f"{file} is made or received, not read: name a file")
    look = plugin.load(case.inspect, {}, "use_cases") if case.inspect else profile
    print(look(source, **({"bar": bar} if bar else {})))
    given = [f"--{name} {shlex.quote(text)}" for name, text in (("use-case", use_case), ("symbols", symbols)) if text]
    given += [f"-p {shlex.quote(f'COLUMNS={columns}')}"] if named else []
    given += [f"-p BAR={bar}"] if bar else []
    print("\nnext: rtml run mine --source", shlex.quote(file), *given)
