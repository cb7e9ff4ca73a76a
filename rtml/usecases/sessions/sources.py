"""Sources of clicks by name: the seeded shop, or a recorded table whose columns are found by their names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from rtml.core.clock import moment
from rtml.core.later import pd
from rtml.core.state import digest
from rtml.sources.columns import UNREADABLE, integers, nanoseconds, read_moment
from rtml.sources.protocol import pieces
from rtml.usecases.sessions.events import CLICKS, COLUMNS, number_of
from rtml.usecases.sessions.shop import Shop

#: What SOURCE may say.
SOURCES = {
    "shop": "a seeded shop: planted topics, items that come and go, and a taste that turns; runs anywhere",
    "<file>": "recorded clicks in Parquet or CSV: YooChoose, Diginetica, Nowplaying, MovieLens, or your own",
}

#: Names under which a column is found without being told, in order of preference.
NAMES = {
    "time": ("time", "ts", "timestamp", "event_time", "datetime", "date", "eventdate"),
    "session": ("session", "session_id", "sessionid", "user_session"),
    "visitor": ("visitor", "visitor_id", "visitorid", "user", "user_id", "userid", "customer_id"),
    "item": ("item", "item_id", "itemid", "product", "product_id", "song_id", "track_id", "movie_id"),
    "category": ("category", "category_id", "categoryid", "category_code"),
    "price": ("price",),
    "action": ("action", "event", "event_type", "behavior", "type"),
}
_OFFSETS = ("ms_since_session_start", "timeframe")  # ms behind a time that is only a date
_FIRST = moment("2000-01-01T00:00:00+00:00")
_SCALES = ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3), (np.inf, 1))  # s, ms, us, ns by magnitude


class Recorded:
    """Recorded clicks in order of time; a table without times is a click a second, in the order of the file.

    Parameters
    ----------
    path
        A Parquet or CSV file with an item and a session or a visitor.
    days
        Only the first days of it, 0 for all.
    columns
        Ours to the file's, where its names are not found.
    """

    symbols: tuple[str, ...] = ()
    schema = CLICKS

    def __init__(self, path: str | Path, days: float = 0.0, columns: dict[str, str] | None = None) -> None:
        self.path, self.days = Path(path), days
        if not self.path.exists():
            raise FileNotFoundError(f"no file {path}: SOURCE is 'shop' or a Parquet or CSV file of clicks")
        self.columns = _found(self._table_names, columns or {}, self.path.name)
        part = f":days={days:g}" if days else ""
        self.name = f"file:{self.path.name}@{digest(self.path.read_bytes())[:12]}{part}"

    @property
    def rows(self) -> int:
        """Number of raw rows."""
        return len(self._table)

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Raw rows (``rtml.usecases.sessions.events.COLUMNS``) in order of time, at most ``n`` at a time."""
        yield from pieces(self._table, n)

    def names(self) -> dict[int, str]:
        """Texts of the item ids that are no whole numbers, by their number."""
        texts = {number_of(id): str(id).strip() for id in self._table["item"].dropna().unique()}
        return {number: text for number, text in texts.items() if str(number) != text}

    @property
    def _table_names(self) -> list[str]:
        if self.path.suffix == ".parquet":
            return pq.read_schema(self.path).names
        return list(pd.read_csv(self.path, nrows=0).columns)

    @cached_property
    def _table(self) -> pd.DataFrame:
        read = pd.read_parquet if self.path.suffix == ".parquet" else pd.read_csv
        frame = read(self.path)
        table = frame[list(self.columns.values())].set_axis(list(self.columns), axis=1)
        table["time"] = _moments(frame, table)
        table = table.sort_values("time", kind="stable", ignore_index=True)
        if self.days:
            table = table[table["time"] < table["time"].iloc[0] + self.days * 86_400e9]
        return table


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
    """One row a source: what to write, and what it is."""
    return pd.DataFrame({"source": list(SOURCES), "meaning": list(SOURCES.values())})


def _found(has: list[str], given: dict[str, str], file: str) -> dict[str, str]:
    """Columns of a table by our names."""
    if unknown := set(given) - set(COLUMNS):
        raise LookupError(f"no column {', '.join(sorted(unknown))} to name; there are: {', '.join(COLUMNS)}")
    lower, found = {name.lower(): name for name in has}, {}
    for ours, known in NAMES.items():
        wanted = (given[ours].lower(),) if ours in given else known
        found |= next(({ours: lower[name]} for name in wanted if name in lower), {})
    if "item" not in found or not {"session", "visitor"} & set(found) or set(given) - set(found):
        raise ValueError(
            f"{file} has no columns that make clicks: an item and a session or a visitor are needed, found "
            f'{", ".join(has)}: name them, such as COLUMNS={{"item": "<column>", "session": "<column>"}}'
        )
    return found


def _moments(frame: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    """Times in ns UTC; whatever is no moment is left for the schema to refuse."""
    if "time" not in table:
        return _FIRST + np.arange(len(table)) * 10**9
    column = table["time"]
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        time = nanoseconds(column)
    elif column.dtype.kind in "if" and len(column):
        scale = next(scale for most, scale in _SCALES if column.abs().max() < most)
        time = (column.astype(np.float64).fillna(0) * scale).astype(np.int64) if scale > 1 else column.astype(np.int64)
        time = time.to_numpy()
    else:
        time = integers(column, len(table), read_moment, missing=UNREADABLE)
    lower = {name.lower(): name for name in frame.columns}
    offset = next((frame[lower[name]] for name in _OFFSETS if name in lower), None)
    return time if offset is None else time + offset.to_numpy(np.int64) * 10**6
