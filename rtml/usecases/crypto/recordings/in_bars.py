"""How much of what was logged is in bars: no run ends well on a part of its data."""

from __future__ import annotations

from collections.abc import Mapping

from rtml.sources.report import IngestReport


def share_in_bars(report: IngestReport, counts: Mapping[str, int]) -> float:
    """Share of the logged trades and quotes that bars took.

    ``counts`` is what ``Bars.counts()`` says of those that changed nothing: late, duplicate, ahead of time. The first
    and the last interval of a stream, which are partial, lose nothing.

    Examples
    --------
    >>> import pandas as pd
    >>> kinds = pd.DataFrame({"trade": [150], "quote": [50], "tick": [900]}, index=["ETH-USD"])
    >>> report = IngestReport("file:x", 1100, 1100, 0, 1, 2, kinds, pd.DataFrame())
    >>> share_in_bars(report, {"late": 30, "duplicate": 0, "ahead": 10})
    0.8
    """
    rows = _for_bars(report)
    return 1.0 - sum(counts.values()) / rows if rows else 0.0


def _for_bars(report: IngestReport) -> int:
    return int(report.by_kind.reindex(columns=["trade", "quote"], fill_value=0).fillna(0).to_numpy().sum())


def check_in_bars(report: IngestReport, counts: Mapping[str, int], least: float = 0.95) -> float:
    """The same share; an error where it is below ``least``, so that no run ends well on a part of its data."""
    share = share_in_bars(report, counts)
    if share < least:
        lost = ", ".join(f"{number:,} {name}" for name, number in counts.items())
        raise ValueError(
            f"only {share:.1%} of {_for_bars(report):,} logged trades and quotes are in bars, at least {least:.0%} "
            f"have to be (not in bars: {lost}). Late: sort the file by time, or give LATENESS more; duplicate: name "
            'the right column of ids, COLUMNS={"id": "<column>"}; ahead: a clock is wrong. Or set LEAST_IN_BARS lower'
        )
    return share
