"""Sources of clicks by name: the seeded shop, or a recorded table whose columns are found by their names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from rtml.core.clock import Clock, moment
from rtml.core.later import pd
from rtml.core.state import digest
from rtml.sources.columns import UNREADABLE
from rtml.sources.decimals import read_decimals
from rtml.sources.moments import read_moments, texts
from rtml.sources.protocol import pieces
from rtml.sources.table import check_twins, squeezed
from rtml.sources.tables import Unreadable, read
from rtml.usecases.sessions.events import ACTIONS, CLICKS, COLUMNS
from rtml.usecases.sessions.shop import Shop

#: What SOURCE may say.
SOURCES = {
    "shop": "a seeded shop: planted topics, items that come and go, and a taste that turns; runs anywhere",
    "<file>": "recorded clicks in Parquet or CSV: YooChoose, Diginetica, Nowplaying, MovieLens, or your own",
}

#: Names under which a column is found without being told, in order of preference; case and punctuation do not matter.
NAMES = {
    "time": (
        *("time", "ts", "timestamp", "event_time", "datetime", "date", "event_date", "event_timestamp", "timestamp_ms"),
        *("click_time", "server_time", "created_at", "unix_time", "local_time"),
    ),
    "session": ("session", "session_id", "user_session", "visit", "visit_id", "sid"),
    "visitor": (
        *(
            "visitor",
            "visitor_id",
            "user",
            "user_id",
            "customer_id",
            "client_id",
            "uid",
            "cookie_id",
            "full_visitor_id",
        ),
    ),
    "item": (
        *("item", "item_id", "product", "product_id", "sku", "sku_id", "article_id", "aid", "content_id", "song_id"),
        *("track_id", "movie_id", "page", "url"),
    ),
    "category": ("category", "category_id", "category_code"),
    "price": ("price", "unit_price"),
    "action": ("action", "event", "event_type", "event_name", "behavior", "behavior_type", "type"),
}
_OFFSETS = ("mssincesessionstart", "timeframe")  # ms behind a time that is only a date
_FIRST = moment("2000-01-01T00:00:00+00:00")
_KNOWN = {ours: [squeezed(name) for name in names] for ours, names in NAMES.items()}


class Recorded:
    """Recorded clicks in order of time; a table without times is a click a second, in the order of the file.

    Parameters
    ----------
    path
        A file of any usual kind with an item and a session or a visitor.
    days
        Only the first days of it, 0 for all.
    columns
        Ours to the file's, where its names are not found.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     count = Path(folder, "a.csv").write_text("session,item 1,7 1,8 ".replace(" ", chr(10)))
    ...     print([frame["item"].tolist() for frame in Recorded(f"{folder}/a.csv").chunks(10)])
    [[7, 8]]
    """

    symbols: tuple[str, ...] = ()
    schema = CLICKS

    def __init__(self, path: str | Path, days: float = 0.0, columns: dict[str, str] | None = None) -> None:
        self.path, self.days = Path(path), days
        if not self.path.exists():
            raise FileNotFoundError(f"no file {path}: SOURCE is 'shop' or a Parquet or CSV file of clicks")
        known = {name for names in _KNOWN.values() for name in names}
        self._held = read(self.path, known=lambda name: squeezed(name) in known).whole(self.path.name)
        self.columns = _found(list(self._held.columns), columns or {}, self.path.name)
        self.read_as = [(self.path.name, self._held, self.columns)]
        check_twins(self._held, {ours: theirs for ours, theirs in self.columns.items() if ours not in (columns or {})})
        self.notes = _timeless(self._held, self.columns, columns or {}, self.path.name)
        part = f":days={days:g}" if days else ""
        self.name = f"file:{self.path.name}@{digest(self.path.read_bytes())[:12]}{part}"

    @property
    def rows(self) -> int:
        """Number of raw rows."""
        return len(self._table)

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Raw rows (``rtml.usecases.sessions.events.COLUMNS``) in order of time, at most ``n`` at a time."""
        yield from pieces(self._table, n)

    @cached_property
    def _table(self) -> pd.DataFrame:
        frame, file = self._held, self.path.name
        table = frame[list(self.columns.values())].set_axis(list(self.columns), axis=1)
        if "price" in table:
            table["price"] = read_decimals(table["price"], f"{self.columns['price']} of {file}")
        if "action" in table:
            table["action"] = _actions(table["action"], f"{self.columns['action']} of {file}")
        for name in {"session", "visitor", "item", "category"} & set(table):
            table[name] = _ids(table[name])
        exact = _moments(frame, table, f"{self.columns.get('time')} of {file}")
        bad, known = exact == UNREADABLE, np.maximum.accumulate(exact)
        if bad.any():
            table["time"] = pd.Series(exact, dtype=object).mask(bad, texts(table["time"]).astype(object))
        else:
            table["time"] = exact
        if self.days:
            kept = known < exact[~bad].min() + self.days * 86_400e9
            table, exact = table[kept], np.where(bad, known, exact)[kept]
        else:
            exact = np.where(bad, known, exact)
        order = np.argsort(exact, kind="stable")
        return table.iloc[order].reset_index(drop=True)


def open_clicks(source: str = "shop", *, seed: int = 7, days: float = 0.0, columns: dict[str, str] | None = None):
    """Open a source by the text of the parameter SOURCE; ``days`` 0 stands for its usual length.

    Examples
    --------
    >>> open_clicks("shop", days=2).name
    'shop:seed=7:days=2:visits=1000'
    """
    if source.strip() == "shop":
        return Shop(seed=seed, days=days or 6.0)
    return Recorded(source, days=days, columns=columns)


def catalogue() -> pd.DataFrame:
    """One row a source: what to write, and what it is.

    Examples
    --------
    >>> catalogue()["source"].tolist()
    ['shop', '<file>']
    """
    return pd.DataFrame({"source": list(SOURCES), "meaning": list(SOURCES.values())})


def _found(has: list[str], given: dict[str, str], file: str) -> dict[str, str]:
    """Columns of a table by our names."""
    if unknown := set(given) - set(COLUMNS):
        raise LookupError(f"no column {', '.join(sorted(unknown))} to name; there are: {', '.join(COLUMNS)}")
    words, found = {squeezed(name): name for name in reversed(has)}, {}
    for ours, known in _KNOWN.items():
        wanted = [squeezed(given[ours])] * (given[ours] != "") if ours in given else known
        found |= next(({ours: words[name]} for name in wanted if name in words), {})
    if (
        "item" not in found
        or not {"session", "visitor"} & set(found)
        or {ours for ours in given if given[ours]} - set(found)
    ):
        raise ValueError(
            f"{file} has no columns that make clicks: an item and a session or a visitor are needed, found "
            f'{", ".join(has)}: name them, such as COLUMNS={{"item": "<column>", "session": "<column>"}}'
        )
    return found


def _timeless(frame: pd.DataFrame, names: dict[str, str], given: dict[str, str], file: str) -> tuple[str, ...]:
    """What is to be said of a table without times; refused where a column of an unknown name holds some."""
    if "time" in names:
        return ()
    for name in (name for name in frame.columns if name not in names.values() and "time" not in given):
        try:
            found = read_moments(frame[name].head(200), Clock().now(), name)
        except Unreadable:
            continue
        if (found != UNREADABLE).all():
            raise Unreadable(
                f"{file} has no column of times, but {name!r} looks like one, {frame[name].iloc[0]!r} in row 1: "
                f'COLUMNS={{"time": "{name}"}}, or {{"time": ""}} for a click a second in the order of the file'
            )
    return (f"{file}: no times, so it is a click a second in the order of the file",)


def _moments(frame: pd.DataFrame, table: pd.DataFrame, where: str) -> np.ndarray:
    """Times in ns UTC; whatever is no moment is left for the schema to refuse."""
    if "time" not in table:
        return _FIRST + np.arange(len(table)) * 10**9
    time = read_moments(table["time"], Clock().now(), where, earliest=1)
    offset = next((frame[name] for name in frame.columns if squeezed(name) in _OFFSETS), None)
    if offset is None:
        return time
    after = pd.to_numeric(texts(offset), errors="coerce").fillna(0).to_numpy(np.int64) * 10**6
    return np.where(time == UNREADABLE, time, time + after)


def _ids(column: pd.Series) -> pd.Series:
    """Ids as whole numbers where all of them are; else texts, in which whole numbers beside a blank look as such."""
    if column.dtype.kind not in "OT":
        return column
    text = texts(column).str.replace(r"^(\d+)\.0$", r"\1", regex=True)
    return text.astype("int64") if text.str.fullmatch(r"0|[1-9]\d{0,17}").fillna(False).all() else text


def _actions(column: pd.Series, where: str) -> pd.Series:
    """Words of actions; refused where most say nothing that is known."""
    words = texts(column).str.lower()
    unknown = words.notna() & ~words.isin(ACTIONS)
    if unknown.sum() > 0.5 * len(words):
        row = int(np.flatnonzero(unknown)[0])
        raise Unreadable(
            f"{where} holds {words.iloc[row]!r} in row {row + 1}, and so do most rows: an action is one of "
            f'{", ".join(ACTIONS)}; write it so, or name another column, COLUMNS={{"action": "<column>"}}'
        )
    return words
