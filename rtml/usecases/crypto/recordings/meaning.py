"""Which column of a file means what, by its name, its position or the look of its cells."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from rtml.core.later import pd
from rtml.sources.moments import floats, texts
from rtml.sources.table import check_twins, squeezed
from rtml.sources.tables import Table, Unreadable
from rtml.usecases.crypto.recordings.names import MONEY, NAMES, date_of, found

_VOLUME_OF = re.compile(r"[Vv]ol(?:ume)?[ _]?\(?([A-Z0-9]{2,6})\)?")  # Volume BTC
_DATE = r"\d{8}|\d{1,4}([-./])\d{1,2}\1\d{1,4}"


def columns_of(frame: pd.DataFrame, columns: dict) -> dict[str, str]:
    """Ours to the file's: as told, else by well-known names; a column is found as one thing only.

    Examples
    --------
    >>> columns_of(pd.DataFrame({"timestamp": [1], "Price": [2.0], "qty": [3.0]}), {})
    {'time': 'timestamp', 'price': 'Price', 'size': 'qty'}
    """
    lower = {str(name).lower(): name for name in reversed(frame.columns)}
    names, candle = {}, {"open", "high", "low"} <= set(map(squeezed, frame.columns))
    for ours, theirs in columns.items():
        name = position(theirs, frame) or lower.get(str(theirs).strip().lower())
        names.update({ours: name} if name is not None and theirs != "" else {})
    for ours in NAMES:
        those = [name for name in found(frame.columns, ours) if ours not in columns and name not in names.values()]
        if ours == "size" and candle:  # whose amount is money
            those.sort(key=lambda name: not squeezed(name).startswith("vol"))
        if ours == "date":
            those = [name for name in those if names.get("time") and of_a_day(frame[names["time"]])]
        names.update({ours: next(filter(partial(_says, frame), those[:-1]), those[-1])} if those else {})
    _with_clock(frame, names, columns)
    if {"price", "bid", "ask"} <= names.keys() and "price" not in columns and frame[names["price"]].isna().all():
        del names["price"]
    volumes = [n for n in frame.columns if (of := _VOLUME_OF.fullmatch(n)) and of[1].lower() not in MONEY]
    if "size" not in names and "size" not in columns and volumes:
        names["size"] = volumes[0]
    check_twins(frame, {ours: theirs for ours, theirs in names.items() if ours not in columns})
    if candle and "price" not in columns and squeezed(names.get("price")) == "price":  # the close, by another name
        price = names.pop("price")
        names.setdefault("close", price)
    if "time" not in names and (blank := next((n for n in frame.columns if n in ("", "Unnamed: 0")), None)) is not None:
        names["time"] = blank
    return names


def _says(frame: pd.DataFrame, name: str) -> bool:
    """Whether a column holds anything, beside zeros: one that does not yields to the next that is known."""
    cells = frame[name].head(10_000)
    return bool((cells.notna() & ~cells.astype(str).isin(("0", "0.0"))).any())


def _with_clock(frame: pd.DataFrame, names: dict[str, str], columns: dict) -> None:
    """Dates get the time of day that stands in another column, whatever it is called."""
    if "date" in names or "time" not in names or {"date", "time"} & columns.keys():
        return
    column = frame[names["time"]]
    if column.dtype.kind == "M":
        dates = bool((column.dropna() == column.dropna().dt.normalize()).all())
    else:
        dates = bool(texts(column.head(1000)).dropna().str.fullmatch(_DATE).all())
    clocks = [name for name in frame.columns if name not in names.values() and of_a_day(frame[name], clock_only=True)]
    if dates and len(clocks) == 1:
        names |= {"date": names["time"], "time": clocks[0]}


def check_one_market(path: Path, frame: pd.DataFrame, names: dict[str, str], columns: dict) -> None:
    """A column of words by which prices differ as instruments do, row by row, has to be told to be symbols or not.

    Examples
    --------
    >>> frame = pd.DataFrame({"t": range(200), "price": [100.0, 5.0] * 100, "pair": ["BTC", "ETH"] * 100})
    >>> check_one_market(Path("a.csv"), frame, {"time": "t", "price": "price"}, {})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    rtml.sources.table.Unreadable: a.csv holds prices of several instruments, it see...
    """
    priced = names.get("price") or names.get("close") or names.get("bid")
    if "symbol" in names or "symbol" in columns or priced is None or frame[priced].dtype.kind not in "OTf":
        return
    head = frame.head(5_000).sort_values(names["time"], kind="stable", key=lambda cells: cells.astype(str))
    price = np.log(np.abs(floats(texts(head[priced]))) + 1e-12)
    for name in (name for name in frame.columns if name not in names.values() and frame[name].dtype.kind in "OT"):
        word = texts(head[name])
        place, words = pd.factorize(word)
        told = np.isfinite(price) & (place >= 0)
        if not 2 <= len(words) <= told.sum() / 4 or np.isfinite(floats(word)).any():
            continue
        own = pd.Series(price[told])
        apart = (own - own.groupby(place[told]).transform("mean")).std()
        if apart < 0.3 * own.std() and (np.diff(place[told]) != 0).sum() > 3 * len(words):
            raise Unreadable(
                f"{path.name} holds prices of several instruments, it seems, by column {name!r} "
                f'({", ".join(map(str, words[:4]))}): COLUMNS={{"symbol": "{name}"}} reads them apart, "" as one'
            )


def position(theirs: object, frame: pd.DataFrame) -> str | None:
    """Name of the column at a position, where ``theirs`` is one.

    Examples
    --------
    >>> frame = pd.DataFrame({"when": [1], "paid": [2.0]})
    >>> position(1, frame), position("7", frame)
    ('paid', None)
    """
    number = str(theirs).strip() if isinstance(theirs, int | str) and not isinstance(theirs, bool) else ""
    if number.isascii() and number.isdigit() and number not in frame.columns and int(number) < frame.shape[1]:
        return frame.columns[int(number)]
    return number if number.isdigit() and number in frame.columns else None


def by_position(path: Path, held: Table, columns: list) -> pd.DataFrame:
    """The columns of a table that a list names by position; an empty name leaves one out.

    Examples
    --------
    >>> held = Table(pd.DataFrame([[1, 2.0]]))
    >>> by_position(Path("a.csv"), held, ["time", "price"]).columns.tolist()
    ['time', 'price']
    """
    frame = held.frame
    if len(columns) > frame.shape[1]:
        raise Unreadable(
            f"COLUMNS names {len(columns)} columns by position, but {path.name} has {frame.shape[1]}: "
            f"its first row is {', '.join(map(str, frame.iloc[0]))!r}"
        )
    kept = {str(name): frame.iloc[:, k] for k, name in enumerate(columns) if name}
    return pd.DataFrame(kept)


def of_a_day(column: pd.Series, clock_only: bool = False) -> bool:
    """Whether most cells are times of day: 09:30, or (unless ``clock_only``) seconds of the day, or hhmmss.

    Examples
    --------
    >>> of_a_day(pd.Series(["09:30", "16:00:01"])), of_a_day(pd.Series(["2024-01-01"]))
    (True, False)
    """
    if column.dtype.kind == "M" or isinstance(column.dtype, pd.DatetimeTZDtype):
        return False
    text = texts(column.head(1000)).dropna()
    clock = text.str.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?")
    if not clock_only:
        number = pd.to_numeric(text, errors="coerce")
        clock |= (number >= 0) & (number < 240_000)
    return len(text) > 0 and bool(2 * clock.sum() > len(text))


def excel_days(column: pd.Series, day: str) -> bool:
    """Whether numbers that might be seconds of the day are Excel's numbers of days around the day itself.

    Examples
    --------
    >>> excel_days(pd.Series([45292.5]), "2024-01-01"), excel_days(pd.Series([34200]), "2024-01-01")
    (True, False)
    """
    number = pd.to_numeric(texts(column.head(1000)), errors="coerce").dropna()
    days = pd.Timestamp(day[:10]).toordinal() - 693_594 if date_of(day) else 0
    return len(number) > 0 and bool(number.min() - 1 <= days <= number.max() + 1)
