"""Numbers as people write them: currencies, thousands, decimal commas, K and M; read whole, or named as unreadable."""

from __future__ import annotations

import re

import numpy as np

from rtml.core.later import pd
from rtml.sources.moments import floats, texts
from rtml.sources.table import Unreadable

#: The forms that are read, for the sentence about one that is not.
FORMS = "1234.5, 1,234.5, 1.234,5, 1 234,5, $1,234.50, 12.5K, 1.5e3"
_NOTHING = r"[-\u2013.]+|n\.?a\.?"
_CURRENCY = r"[$€£¥₿]|^[A-Z]{3,4}\s|\s[A-Z]{3,4}$|(?<=\d)\s*%$"
_GAPS = r"(?<=\d)[\s\u00a0\u202f'\u2019](?=\d{3})"  # a space or an apostrophe between thousands
_SIGN, _TAIL = "[-+]?(?:", r")(?:[eE][-+]?\d+)?[KkMB]?"
_POINT = re.compile(_SIGN + r"(?:[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}|\d+)(?:\.\d*)?|\.\d+" + _TAIL)
_COMMA = re.compile(_SIGN + r"(?:[1-9]\d{0,2}(?:\.\d{3})+|\d+)(?:,\d*)?|,\d+" + _TAIL)
_SCALES = {"K": 1e3, "k": 1e3, "M": 1e6, "B": 1e9}
_FEW = 0.05


def _bare(text: pd.Series) -> pd.Series:
    """Cells without currencies and gaps between thousands; what only says that there is nothing is missing."""
    text = text.str.replace(_CURRENCY, "", regex=True).str.replace(_GAPS, "", regex=True).str.strip()
    return text.mask(text.str.fullmatch(_NOTHING, case=False, na=False))


def _styles(text: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Which cells are a number with a decimal point, and which with a decimal comma; some are both."""
    return tuple(text.str.fullmatch(form, na=False).to_numpy(bool) for form in (_POINT, _COMMA))


def has_decimal_comma(column: pd.Series) -> bool:
    """Whether a column can only be read with a decimal comma.

    Examples
    --------
    >>> has_decimal_comma(pd.Series(["0,5", "1.234,5"])), has_decimal_comma(pd.Series(["2,000", "1.5"]))
    (True, False)
    """
    text = texts(column.head(10_000)) if column.dtype.kind not in "iufbM" else pd.Series(dtype="str")
    if not text.str.contains(",", regex=False, na=False).any():
        return False
    point, comma = _styles(_bare(text))
    return bool((comma & ~point).sum() > (point & ~comma).sum())


def read_decimals(column: pd.Series, where: str, comma: bool = False) -> pd.Series:
    """Floats where all of a column is read; else its unreadable cells stay the texts that they were.

    Parameters
    ----------
    column
        The cells.
    where
        Names the column and its file, for sentences.
    comma
        Whether other columns of the file have a decimal comma: it decides where this one can be read both ways.

    Raises
    ------
    Unreadable
        Where thousands cannot be told from decimals, where both are written, or where most cells are no number.

    Examples
    --------
    >>> read_decimals(pd.Series(["$1,234.50", "12.5K", None]), "amount of x.csv").tolist()
    [1234.5, 12500.0, nan]
    >>> read_decimals(pd.Series(["1.234", "2.000"]), "price of x.csv", comma=True).tolist()
    [1234.0, 2000.0]
    """
    if column.dtype.kind in "iuf":
        return column.astype(float)
    given = texts(column)
    number = floats(given)
    if not comma and not (np.isnan(number) & given.notna().to_numpy()).any():
        return pd.Series(number, index=column.index)
    text = _bare(given)
    point, with_comma = _styles(text)
    comma = _decided(text, point, with_comma, comma, where)
    read = with_comma if comma else point
    digits = text.str.replace("." if comma else ",", "", regex=False).str.replace(",", ".", regex=False)
    scale = digits.str[-1:].map(_SCALES).fillna(1.0).to_numpy(float)
    written = floats(digits.str.rstrip("KkMB").where(read)) * scale
    number = np.where(read, written, np.nan if comma else number)
    unread = text.notna().to_numpy() & np.isnan(number)
    if 2 * unread.sum() > text.notna().sum():
        row = int(np.flatnonzero(unread)[0])
        raise Unreadable(
            f"{where} holds {given.iloc[row]!r} in row {row + 1}, which is no number in a form that is read, and so do "
            f"most rows; the forms: {FORMS}"
        )
    number = pd.Series(number, index=column.index)
    return number.astype(object).where(~unread, given) if unread.any() else number


def _decided(text: pd.Series, point: np.ndarray, with_comma: np.ndarray, comma: bool, where: str) -> bool:
    """Whether a column has a decimal comma: what only one reading takes decides, then the file's other columns."""
    only_point, only_comma = point & ~with_comma, with_comma & ~point
    fewer = min(only_point.sum(), only_comma.sum())
    if fewer > _FEW * len(text):
        both = [str(text[mask].iloc[0]) for mask in (only_point, only_comma)]
        raise Unreadable(f"{where} holds {both[0]!r} and {both[1]!r}: write all decimals with a point")
    if only_point.any() or only_comma.any():
        return bool(only_comma.sum() > only_point.sum())
    doubtful = np.flatnonzero(point & text.str.contains(",", regex=False, na=False).to_numpy(bool))
    if len(doubtful) and not comma:
        raise Unreadable(
            f"{where} holds {text.iloc[doubtful[0]]!r}: thousands or decimals? write it with a decimal point only"
        )
    return comma
