"""What a reader of files makes: a table with what is to be said of it, or a sentence that says why not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rtml.core.later import pd

Known = Callable[[str], bool]


class Unreadable(ValueError):
    """A file that cannot be read right: the sentence names the row, the value and the column, and what to do."""


@dataclass
class Table:
    """The rows of a file, and what is to be said of the way they were read.

    Attributes
    ----------
    frame
        The columns as the file has them; cells of text formats are texts, so that no digit is lost.
    headless
        Whether the file has no header; the columns are then called ``0``, ``1`` ...
    ragged
        Reason and text of rows that have another number of fields; they are not in ``frame``.
    ticker
        What a second header row says that all columns are of.

    Examples
    --------
    >>> table = Table(pd.DataFrame({"price": ["1.5"]}), ragged=[("line 3 has 1 fields, the header names 2", "2")])
    >>> table.whole("x.csv")
    Traceback (most recent call last):
    ...
    rtml.sources.table.Unreadable: x.csv: line 3 has 1 fields, the header names 2 ('2'): repair that line
    """

    frame: pd.DataFrame
    headless: bool = False
    ragged: list[tuple[str, str]] = field(default_factory=list)
    ticker: str = ""

    def whole(self, file: str) -> pd.DataFrame:
        """The rows, where none has another number of fields; else an error that names the first that has."""
        if self.ragged:
            reason, text = self.ragged[0]
            raise Unreadable(f"{file}: {reason} ({text[:100]!r}): repair that line")
        return self.frame


def squeezed(name: object) -> str:
    """Letters and digits of a name in lower case.

    Examples
    --------
    >>> squeezed("<CLOSE>"), squeezed("isBuyerMaker"), squeezed(" Gmt time")
    ('close', 'isbuyermaker', 'gmttime')
    """
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def unique(names: list[str]) -> list[str]:
    """Names stripped, a repeated one with a number behind it.

    Examples
    --------
    >>> unique([" price", "size", "price"])
    ['price', 'size', 'price.1']
    """
    names, seen = [name.lstrip("\ufeff").strip(" \t\r\n\"'") for name in names], Counter()
    for k, name in enumerate(names):
        seen[name] += 1
        names[k] = name if seen[name] == 1 else f"{name}.{seen[name] - 1}"
    return names


def check_twins(frame: pd.DataFrame, names: dict[str, str]) -> None:
    """Two columns of one name that differ are two things: which one is meant has to be said.

    Examples
    --------
    >>> check_twins(pd.DataFrame({"size": ["1"], "size.1": ["1"]}), {"size": "size"})
    >>> try:
    ...     check_twins(pd.DataFrame({"size": ["1"], "size.1": ["2"]}), {"size": "size"})
    ... except Unreadable as error:
    ...     print(str(error).partition(":")[0])
    two columns are called 'size' and differ, '1' and '2' in row 1
    """
    for ours, theirs in names.items():
        twin = f"{theirs}.1"
        if twin in frame and not frame[theirs].astype(str).equals(frame[twin].astype(str)):
            raise Unreadable(
                f"two columns are called {theirs!r} and differ, {frame[theirs].iloc[0]!r} and {frame[twin].iloc[0]!r} "
                f'in row 1: say which one is meant, COLUMNS={{"{ours}": "{theirs}"}} or {{"{ours}": "{twin}"}}'
            )


def few(path: Path, ragged: list[tuple[str, str]], rows: int) -> list[tuple[str, str]]:
    """Broken lines, when they are few: they go to the quarantine; many say that the file is misread as a whole.

    Examples
    --------
    >>> few(Path("trades.csv"), [("line 9 has 1 fields", "?")], rows=100)
    [('line 9 has 1 fields', '?')]
    >>> few(Path("trades.csv"), [("line 9 has 1 fields", "?")] * 5, rows=100)
    Traceback (most recent call last):
    ...
    rtml.sources.table.Unreadable: trades.csv: line 9 has 1 fields ('?'), and so 5 of its rows: repair the file
    """
    if len(ragged) > max(1, min(3, rows // 4), rows // 100):
        reason, text = ragged[0]
        raise Unreadable(f"{path.name}: {reason} ({text[:100]!r}), and so {len(ragged):,} of its rows: repair the file")
    return ragged
