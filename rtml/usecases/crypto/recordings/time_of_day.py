"""Times of day, as recordings of markets write them beside a date."""

from __future__ import annotations

import numpy as np

from rtml.core.later import pd
from rtml.sources.moments import clock_of, exact_numbers, texts
from rtml.sources.tables import Unreadable


def read_clock(column: pd.Series, where: str) -> np.ndarray | None:
    """Nanoseconds since midnight of a column of times of day, -1 where a row holds none; None for anything else.

    Read are 9:30, 09:30:00.123, 9:30:00 AM, seconds of the day (34200.5), and 93000 for 9:30:00.

    Examples
    --------
    >>> read_clock(pd.Series(["9:30", "09:30:00.5", "4:00 PM"]), "a.csv") / 1e9
    array([34200. , 34200.5, 57600. ])
    """
    text = texts(column)
    whole, number = exact_numbers(column, text)
    isnumber = np.isfinite(number)
    given = text.notna().to_numpy()
    if 2 * isnumber.sum() > given.sum():
        clock = _clock_numbers(whole, number, text, where)
    else:
        clock = np.full(len(column), -1)
        for form in ("%H:%M:%S", "%H:%M:%S.%f", "%H:%M", "%I:%M:%S %p", "%I:%M %p"):
            left = np.flatnonzero(given & (clock < 0))
            day = pd.to_datetime(text.iloc[left], errors="coerce", format=form)
            seen = day.notna().to_numpy()
            clock[left[seen]] = ((day - day.dt.normalize()).dt.as_unit("ns").to_numpy().view(np.int64))[seen]
    return clock if 2 * (clock >= 0).sum() > given.sum() else None


def _clock_numbers(whole: np.ndarray, number: np.ndarray, text: pd.Series, where: str) -> np.ndarray:
    seconds = np.where((number >= 0) & (number < 86_400), np.floor(number) * 1e9 + number % 1 * 1e9, -1)
    digits = np.where(number == whole, clock_of(np.where(np.abs(number) < 1e9, whole, -1) * 1000), -1)
    isnumber = np.isfinite(number)
    as_seconds, as_digits = ((those[isnumber] >= 0).all() for those in (seconds, digits))
    padded = text.str.fullmatch(r"\d{6}", na=False)[isnumber].all()
    if as_seconds and as_digits and not padded and (number[isnumber] >= 60).any():
        raise Unreadable(
            f"{where} holds {text[isnumber].iloc[-1]!r}: seconds of the day, or hours, minutes and seconds? "
            "write the times as 09:30:00"
        )
    return digits if as_digits and (padded or not as_seconds) else np.round(seconds / 1000).astype(np.int64) * 1000
