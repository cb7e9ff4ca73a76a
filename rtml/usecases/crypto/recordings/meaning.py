"""Which column of a file means what, by its name, its position or the look of its cells."""

from __future__ import annotations

import re
from pathlib import Path

from rtml.core.later import pd
from rtml.sources.moments import texts
from rtml.sources.tables import Table, Unreadable
from rtml.usecases.crypto.recordings.names import NAMES, date_of, found, squeezed

_MONEY = re.compile(r"^[$€£¥]\s*|\s*%$")


def columns_of(frame: pd.DataFrame, columns: dict) -> dict[str, str]:
    """Ours to the file's: as told, else by well-known names; a column is found as one thing only."""
    lower = {str(name).lower(): name for name in reversed(frame.columns)}
    names = {}
    for ours, theirs in columns.items():
        name = position(theirs, frame) or lower.get(str(theirs).strip().lower())
        names.update({ours: name} if name is not None and theirs != "" else {})
    for ours in NAMES:
        those = [name for name in found(frame.columns, ours) if ours not in columns and name not in names.values()]
        if ours == "date":
            those = [name for name in those if names.get("time") and of_a_day(frame[names["time"]])]
        names.update({ours: those[0]} if those else {})
    candle = {"open", "high", "low"} <= set(map(squeezed, frame.columns)) and "price" not in columns
    if candle and squeezed(names.get("price")) == "price":  # the close, by another name
        price = names.pop("price")
        names.setdefault("close", price)
    if "time" not in names and (blank := next((n for n in frame.columns if n in ("", "Unnamed: 0")), None)) is not None:
        names["time"] = blank
    return names


def position(theirs: object, frame: pd.DataFrame) -> str | None:
    """Name of the column at a position, where ``theirs`` is one."""
    number = str(theirs).strip() if isinstance(theirs, int | str) and not isinstance(theirs, bool) else ""
    if number.isascii() and number.isdigit() and number not in frame.columns and int(number) < frame.shape[1]:
        return frame.columns[int(number)]
    return number if number.isdigit() and number in frame.columns else None


def by_position(path: Path, held: Table, columns: list) -> pd.DataFrame:
    """The columns of a table that a list names by position; an empty name leaves one out."""
    frame = held.frame
    if len(columns) > frame.shape[1]:
        raise Unreadable(
            f"COLUMNS names {len(columns)} columns by position, but {path.name} has {frame.shape[1]}: "
            f"its first row is {', '.join(map(str, frame.iloc[0]))!r}"
        )
    kept = {str(name): frame.iloc[:, k] for k, name in enumerate(columns) if name}
    return pd.DataFrame(kept)


def of_a_day(column: pd.Series) -> bool:
    """Whether most cells are times of day: 09:30, or a number below a day's seconds or of hhmmss."""
    if column.dtype.kind == "M" or isinstance(column.dtype, pd.DatetimeTZDtype):
        return False
    text = texts(column.head(1000)).dropna()
    number = pd.to_numeric(text, errors="coerce")
    clock = text.str.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?") | ((number >= 0) & (number < 240_000))
    return len(text) > 0 and bool(2 * clock.sum() > len(text))


def excel_days(column: pd.Series, day: str) -> bool:
    """Whether numbers that might be seconds of the day are Excel's numbers of days around the day itself."""
    number = pd.to_numeric(texts(column.head(1000)), errors="coerce").dropna()
    days = pd.Timestamp(day[:10]).toordinal() - 693_594 if date_of(day) else 0
    return len(number) > 0 and bool(number.min() - 1 <= days <= number.max() + 1)


def plain_numbers(text: pd.Series, where: str) -> pd.Series:
    """Numbers without currency signs and thousands separators, with a decimal point."""
    text = text.str.replace(_MONEY, "", regex=True)
    said = text.dropna()
    if (
        said.str.fullmatch(r"[-+]?(\d{1,3}(\.\d{3})+|\d+),\d+").all()
        and not said.str.fullmatch(r"[-+]?\d{1,3},\d{3}").all()
    ):
        return text.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    if said.str.fullmatch(r"[-+]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?").all():
        if said.str.fullmatch(r"[-+]?\d{1,3},\d{3}").all():
            raise Unreadable(
                f"{where} holds {said.iloc[0]!r}: thousands or decimals? write it with a decimal point only"
            )
        return text.str.replace(",", "", regex=False)
    return text
