"""Times as files write them, read to nanoseconds UTC; the unit is judged row by row, and nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache

import numpy as np

from rtml.core.later import pa, pd
from rtml.sources.columns import UNREADABLE, nanoseconds
from rtml.sources.table import Unreadable

DAY = 86_400 * 10**9
EARLIEST = 946_684_800 * 10**9  # 2000-01-01
YEAR = 366 * DAY
_OLDEST = 631_152_000 * 10**9  # 1990-01-01: of a number whose unit is not known

#: The forms that are read, for the sentence about one that is not.
FORMS = (
    "seconds, ms, us or ns since 1970; ISO 8601 such as 2025-01-31T09:30:00Z; 20250131 or 20250131093000; "
    "31.01.2025 09:30:00; 01/31/2025 or 31/01/2025 where a day above 12 says which; 31 Jan 2025; an Excel day number; "
    'a date and a time of day in two columns; a time of day with COLUMNS={"date": "2025-01-31"}'
)
_UNITS = (10**9, 10**6, 10**3, 1)  # ns of a second, ms, us, ns
_DIGITS = {8: "D", 12: "m", 14: "s", 17: "ms"}  # digits of a date as one number, and what the last ones are
_EXCEL_1970 = 25_569
_DATES = ("%d.%m.%Y", "%Y.%m.%d", "%Y/%m/%d", "%Y-%m-%d", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%Y%m%d")
_DATES += ("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%a, %d %b %Y", "%b %d %Y", "%a %b %d %Y")
_DATES += ("%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d-%b-%y")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %I-%p", " %H%M%S", " %H%M%S%f")
_TIMES += (" %I:%M:%S.%f %p", "T%H:%M:%S", "T%H:%M:%S.%f", ", %H:%M:%S", " %H%M")
_ZONES = ("", "%z", " %z", " GMT%z", " UTC%z")
_TWINS = {"%m/%d/%Y": "%d/%m/%Y", "%m-%d-%Y": "%d-%m-%Y", "%m/%d/%y": "%d/%m/%y"}
_FORMATS = tuple(d + t + z for d in _DATES for t in _TIMES for z in (_ZONES if t else ("",)))
_FORMATS += ("%a %b %d %H:%M:%S %Y",)
_LOOK = (
    dict.fromkeys("dmHI", r"\d{1,2}") | dict.fromkeys("MS", r"\d{2}") | {"Y": r"\d{4}", "y": r"\d{2}", "f": r"\d{1,9}"}
)
_LOOK |= {"b": "[A-Za-z]{3}", "B": "[A-Za-z]{4,9}", "a": "[A-Za-z]{3}", "p": "[AaPp][Mm]", "z": r"[-+]\d{2}:?\d{2}"}
_MOST_FORMS = 12
#: Hours ahead of UTC of the names of zones that mean one thing everywhere: CST, IST and BST do not.
_ABBREVIATIONS = {
    "EST": -5,
    "EDT": -4,
    "PST": -8,
    "PDT": -7,
    "CET": 1,
    "CEST": 2,
    "EET": 2,
    "JST": 9,
    "HKT": 8,
    "MSK": 3,
}
_ZONE_NAME = rf"\s\(?({'|'.join(_ABBREVIATIONS)}|[A-Z][A-Za-z]+/[A-Z][A-Za-z_]+(?:/[A-Z][A-Za-z_]+)?)\)?$"
#: What a text is like that says the zone of its time.
ZONED = rf".*(?:\s*\(?(?:Z|UTC|GMT)\)?|[-+]\d{{2}}:?\d{{2}}(?:\[.*\])?|{_ZONE_NAME[:-1]})"
_AROUND = " \t\r\n\v\f\u00a0\"'"
_LAST = ord("'")  # of them in ASCII


def read_moments(column: pd.Series, now: int, where: str, earliest: int = EARLIEST) -> np.ndarray:
    """Nanoseconds UTC of a column, ``UNREADABLE`` where a row holds no moment from 2000 to a year after ``now``.

    A date without a zone is taken as UTC. ``where`` names the column and file for the error that is raised when most
    rows cannot be read. Dates may be as old as ``earliest``, numbers since 1970 as old as that and 1990.

    Examples
    --------
    >>> column = pd.Series(["1735689600000", "1735689600000000", "0", "2025-01-01T00:00:00Z"])
    >>> (read_moments(column, 1_735_689_600 * 10**9, "time of x.csv") // 10**9).tolist()
    [1735689600, 1735689600, -9223372037, 1735689600]
    """
    latest = now + YEAR
    if column.dtype.kind == "M" or isinstance(column.dtype, pd.DatetimeTZDtype):
        return _plausible(_aware(column), latest, earliest)
    if (exact := _of_one_unit(column, latest, max(earliest, _OLDEST))) is not None:
        return exact
    text = column if column.dtype.kind in "iuf" else texts(column)
    given = text.notna().to_numpy()
    whole, number = exact_numbers(column, text)
    isnumber = np.isfinite(number)
    moment = np.full(len(column), UNREADABLE)
    if isnumber.any():
        moment[isnumber] = _of_numbers(whole[isnumber], number[isnumber], latest, max(earliest, _OLDEST))
    words = np.flatnonzero(~isnumber & given) if column.dtype.kind not in "iuf" else ()
    if len(words):
        moment[words] = _of_texts(text.iloc[words], where)
    moment = _plausible(moment, latest, earliest)
    if given.any() and 2 * (moment[given] != UNREADABLE).sum() < given.sum():
        row = int(np.flatnonzero(given & (moment == UNREADABLE))[0])
        raise Unreadable(
            f"{where} holds {str(text.iloc[row])!r} in row {row + 1}, which is no moment from 2000 to a year ahead in "
            f"a form that is read, and so do most rows; the forms: {FORMS}"
        )
    return moment


def form_of(column: pd.Series, now: int) -> str:
    """How a column of times is written, for people.

    Examples
    --------
    >>> form_of(pd.Series(["1735689600000", "1735689600000000"]), 1_735_689_600 * 10**9)
    'ms, us since 1970'
    """
    if column.dtype.kind == "M":
        return str(column.dtype)
    text = texts(column).dropna()
    number = floats(text)
    names = zip(_UNITS, ("s", "ms", "us", "ns"), strict=True)
    units = [n for u, n in names if ((number >= EARLIEST / u) & (number <= (now + YEAR) / u)).any()]
    if units:
        return f"{', '.join(units)} since 1970"
    if np.isfinite(number).any():
        return "number of a date or of a time of day"
    form = next((f for one in text.head(20) if (f := _form(one))), "")
    return f"text, {form}" if form else "text, ISO 8601"


def texts(column: pd.Series) -> pd.Series:
    """Cells as texts without the spaces and quotes around them; a blank one is missing.

    Examples
    --------
    >>> texts(pd.Series([' "1.50" ', "  ", None])).tolist()
    ['1.50', nan, nan]
    """
    if column.dtype.kind in "iufb":
        return column.astype(object).where(column.notna()).map(str, na_action="ignore")
    if not isinstance(column.dtype, pd.StringDtype):
        column = column.map(str, na_action="ignore").astype("str")
    if len(column) and all(len(data) and data.min() > _LAST and data.max() < 128 for *_, data in _bytes(column)):
        return column
    column = column.str.strip(_AROUND)
    blank = column == ""
    return column.mask(blank) if blank.any() else column


def _bytes(column: pd.Series) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Where texts begin, how long they are, and the bytes of all of them; no bytes where any is missing or blank."""
    held = pa.array(column, from_pandas=True)
    for part in filter(len, held.chunks if isinstance(held, pa.ChunkedArray) else [held]):
        _, ends, data = part.buffers()
        place = np.int64 if part.type == pa.large_string() else np.int32
        ends = np.frombuffer(ends, place, len(part) + 1 + part.offset)
        starts, length = ends[part.offset : -1], np.diff(ends[part.offset :])
        whole = data is not None and not part.null_count and length.min() > 0
        used = np.frombuffer(data, np.uint8)[starts[0] : ends[-1]] if whole else np.empty(0, np.uint8)
        yield starts - starts[0], length, used


def plain_integers(column: pd.Series) -> np.ndarray | None:
    """Whole numbers that are held so, or written by up to 18 digits and nothing else; None where any is not.

    Examples
    --------
    >>> plain_integers(pd.Series(["7", "0", "12"])), plain_integers(pd.Series(["7", "007"]))
    (array([ 7,  0, 12]), None)
    """
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "i":
        return column.to_numpy(np.int64)
    if not isinstance(column.dtype, pd.StringDtype):
        return None
    for starts, length, data in _bytes(column):
        digits = len(data) and ord("0") <= data.min() and data.max() <= ord("9") and length.max() <= 18
        if not digits or ((data[starts] == ord("0")) & (length > 1)).any():
            return None
    return _cast(column, pa.int64()).to_numpy(zero_copy_only=False)


def exact_numbers(column: pd.Series, text: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Whole part (exact int64) and value of what is a number; the value is NaN for everything else.

    Examples
    --------
    >>> column = pd.Series(["9007199254740993", "1.5", "?"])
    >>> exact_numbers(column, column)[0].tolist()
    [9007199254740993, 1, 0]
    """
    if column.dtype.kind in "iu":
        number = column.to_numpy(np.float64)
        fits = np.abs(number) < 2**62
        return np.where(fits, column.to_numpy(), 0).astype(np.int64), np.where(fits, number, np.nan)
    if column.dtype.kind == "f":
        number = column.to_numpy(np.float64)
    elif (exact := _cast(text, pa.int64())) is not None:
        number = _in_range(exact.to_numpy(zero_copy_only=False).astype(np.float64))
        return np.where(np.isfinite(number), exact.fill_null(0).to_numpy(), 0), number
    else:
        number = floats(text)
    number = _in_range(number)
    whole = np.floor(np.where(np.isfinite(number), number, 0.0)).astype(np.int64)
    large = np.flatnonzero(np.abs(whole) >= 2**53) if column.dtype.kind != "f" else ()
    for row in large:  # a float has lost their last digits
        digits = text.iloc[row].split(".")[0]
        whole[row] = int(digits) if digits.lstrip("+-").isdigit() else whole[row]
    return whole, number


def _in_range(number: np.ndarray) -> np.ndarray:
    return np.where(np.abs(number) < 2.0**62, number, np.nan)


def _cast(text: pd.Series, kind: pa.DataType) -> pa.Array | None:
    """Texts as numbers, all at once; None where any is no such number."""
    try:
        held = pa.array(text, from_pandas=True).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None
    return held.combine_chunks() if isinstance(held, pa.ChunkedArray) else held


def floats(text: pd.Series) -> np.ndarray:
    """Floats of texts; NaN for what is no number.

    Examples
    --------
    >>> floats(pd.Series(["1.5", "2e3", "?"])).tolist()
    [1.5, 2000.0, nan]
    """
    if (held := _cast(text, pa.float64())) is not None:
        return held.to_numpy(zero_copy_only=False)
    return pd.to_numeric(text, errors="coerce").to_numpy(np.float64, na_value=np.nan)


def _plausible(moment: np.ndarray, latest: int, earliest: int) -> np.ndarray:
    return np.where((moment >= earliest) & (moment <= latest), moment, UNREADABLE)


def _aware(column: pd.Series) -> np.ndarray:
    return nanoseconds(column if getattr(column.dtype, "tz", None) else column.dt.tz_localize("UTC"))


def _of_one_unit(column: pd.Series, latest: int, earliest: int) -> np.ndarray | None:
    """Moments of whole numbers that are all plausible in the same unit, which their extremes show."""
    whole = plain_integers(column) if len(column) else None
    if whole is None:
        return None
    low, high = int(whole.min()), int(whole.max())
    return next((whole * unit for unit in _UNITS if earliest <= low * unit and high * unit <= latest), None)


def _of_numbers(whole: np.ndarray, number: np.ndarray, latest: int, earliest: int) -> np.ndarray:
    """Moments of numbers: since 1970 by the unit that makes each plausible, else dates or Excel days where most are."""
    moment = np.full(len(whole), UNREADABLE)
    for unit in _UNITS:
        own = (number >= earliest / unit) & (number <= latest / unit) & (moment == UNREADABLE)
        if own.all() and (number == whole).all():
            return whole * unit
        part = np.round((number[own] - whole[own]).clip(0, 1) * unit / 1000).astype(np.int64) * 1000
        moment[own] = whole[own] * unit + (part if unit > 1 else 0)  # a float is good to a microsecond
    if 2 * (moment != UNREADABLE).sum() >= len(moment):
        return moment
    dated = _plausible(_of_digits(whole, number), latest, earliest)
    if 2 * (dated != UNREADABLE).sum() >= len(moment):
        return dated
    days = (number >= 36_526) & (number <= latest / DAY + _EXCEL_1970)
    if days.all():
        return np.round((number - _EXCEL_1970) * 86_400_000).astype(np.int64) * 10**6
    return moment


def _of_digits(whole: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Moments of numbers such as 20250131 or 20250131093000."""
    moment = np.full(len(whole), UNREADABLE)
    for digits, last in _DIGITS.items():
        own = (number >= 10 ** (digits - 1)) & (number < 10**digits) & (number == whole)
        rest = {"D": 1, "m": 10**4, "s": 10**6, "ms": 10**9}[last]
        day, clock = np.divmod(whole[own], rest)
        clock = clock * {"D": 1, "m": 10**5, "s": 10**3, "ms": 1}[last]  # as hhmmssSSS
        moment[own] = _calendar(day // 10_000, day // 100 % 100, day % 100, clock_of(clock))
    return moment


def clock_of(hhmmssmmm: np.ndarray) -> np.ndarray:
    """Nanoseconds since midnight of numbers such as 93000123 (9:30:00.123); negative where there is no such time.

    Examples
    --------
    >>> clock_of(np.array([93_000_123, 246_000_000])).tolist()
    [34200123000000, -1]
    """
    ms, s = hhmmssmmm % 1000, hhmmssmmm // 1000 % 100
    m, h = hhmmssmmm // 10**5 % 100, hhmmssmmm // 10**7
    right = (s < 60) & (m < 60) & (h < 24) & (hhmmssmmm >= 0)
    return np.where(right, ((h * 60 + m) * 60 + s) * 10**9 + ms * 10**6, -1)


def _calendar(year: np.ndarray, month: np.ndarray, day: np.ndarray, clock: np.ndarray) -> np.ndarray:
    right = (year >= 2000) & (year < 2200) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & (clock >= 0)
    months = (np.where(right, year, 2000) - 1970) * 12 + np.where(right, month, 1) - 1
    days = months.astype("M8[M]").astype("M8[D]").astype(np.int64) + np.where(right, day, 1) - 1
    right &= days.astype("M8[D]").astype("M8[M]").astype(np.int64) == months  # no 31st of a shorter month
    return np.where(right, days * DAY + clock, UNREADABLE)


# -- texts -----------------------------------------------------------------------------------------------------------


def _of_texts(text: pd.Series, where: str) -> np.ndarray:
    """Moments of texts: ISO 8601 first, then every form that a row not read yet shows."""
    text = text.str.replace(r"\[[\w/+-]+\]$", "", regex=True).str.replace(r"\s+", " ", regex=True)
    named = text.str.extract(_ZONE_NAME, expand=False)
    if len(zones := named.dropna().unique()):
        text = text.str.replace(_ZONE_NAME, "", regex=True)
        moment = np.full(len(text), UNREADABLE)
        for zone in [None, *zones]:
            own = (named.isna() if zone is None else named == zone).to_numpy(bool)
            moment[own] = in_zone(_of_texts(text[own], where), zone) if own.any() else moment[own]
        return moment
    text = text.str.replace(r"\s*\(?(UTC|GMT|Z)\)?$", "", regex=True, case=False)
    text = text.str.replace(r"^(\d{4}-\d\d-\d\d)D(?=\d)", r"\1T", regex=True)
    text = text.str.replace(r"(:\d\d)[,:](?=\d{3,9}$)", r"\1.", regex=True)
    moment = _parsed(text, "ISO8601")
    for _ in range(_MOST_FORMS):
        left = np.flatnonzero(moment == UNREADABLE)
        form = next((f for row in left[:50] if (f := _form(text.iloc[row]))), None)
        if form is None:
            break
        form = _day_first(text.iloc[left], form, where)
        moment[left] = _parsed(text.iloc[left], form)
    return moment


def in_zone(exact: np.ndarray, zone: str | None) -> np.ndarray:
    """Moments of clock readings that were taken for UTC but are of a zone; ``UNREADABLE`` where the zone has none.

    An hour that a change of clocks repeats or leaves out is not guessed.

    Examples
    --------
    >>> noon = 1_735_732_800 * 10**9  # 2025-01-01 12:00 UTC
    >>> ((in_zone(np.array([noon]), "America/New_York") - noon) // (3600 * 10**9)).tolist()
    [5]
    """
    if zone is None:
        return exact
    if (offset := _ABBREVIATIONS.get(zone)) is not None:
        return np.where(exact > 0, exact - offset * (DAY // 24), UNREADABLE)
    local = pd.DatetimeIndex(np.where(exact > 0, exact, 0))
    utc = local.tz_localize(zone, ambiguous="NaT", nonexistent="NaT").as_unit("ns").asi8
    return np.where((exact > 0) & (utc > 0), utc, UNREADABLE)


def _parsed(text: pd.Series, form: str) -> np.ndarray:
    return nanoseconds(pd.to_datetime(text, utc=True, errors="coerce", format=form))


@cache
def _patterns() -> tuple[tuple[str, re.Pattern], ...]:
    """Every format with what a text of it looks like: parsing by all of them would take a second a text."""
    looks = {form: re.sub(r"%(.)", lambda part: _LOOK[part[1]], re.escape(form)) for form in _FORMATS}
    return tuple((form, re.compile(look)) for form, look in looks.items())


def _form(text: str) -> str | None:
    """The format of one text, where one is known."""
    for form, look in _patterns() if 8 <= len(text) <= 40 else ():
        if look.fullmatch(text):
            try:
                datetime.strptime(re.sub(r"(\.\d{6})\d{1,3}", r"\1", text), form)
            except ValueError:
                continue
            return form
    return None


def _day_first(text: pd.Series, form: str, where: str) -> str:
    """The format itself, or with day and month the other way round where the file says so; else an error."""
    month = next((m for m, d in _TWINS.items() if form.startswith((m, d))), None)
    if month is None:
        return form
    month_form, day_form = (first + form[len(month) :] for first in (month, _TWINS[month]))
    by_month, by_day = (_parsed(text, f) != UNREADABLE for f in (month_form, day_form))
    only_month, only_day = (by_month & ~by_day).any(), (by_day & ~by_month).any()
    if only_month == only_day:
        why = "some rows can only be one and some only the other" if only_month else "no row has a day above 12"
        raise Unreadable(f"{where} holds {text.iloc[0]!r}: month or day first? {why}: write the dates as 2025-01-31")
    return month_form if only_month else day_form


# -- times of day ----------------------------------------------------------------------------------------------------
