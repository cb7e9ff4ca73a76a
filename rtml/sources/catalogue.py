"""Opening a source of a use case by what the parameter SOURCE says."""

from __future__ import annotations

from rtml.core.use_case import UseCase, load_use_case
from rtml.sources.growing import open_growing, posted_schema
from rtml.sources.posted import HTTP, Posted
from rtml.sources.protocol import Source
from rtml.sources.records import Records


def open_source(source: str, case: UseCase | str = "crypto", **how) -> Source:
    """Open a source of a use case: by its own function, or as a recording of its own events.

    ``http`` is of every use case: its events are posted. So is what grows on a system of its own, by its URL.

    Parameters
    ----------
    source
        What the parameter SOURCE says.
    case
        Whose source it is, or its name.
    how
        What the use case's function takes; of a recording ``symbols`` (the keys) and ``columns``.

    Examples
    --------
    >>> open_source("synthetic", hours=1.0, drift="recurring").name
    'synthetic:recurring:seed=7:hours=1'
    """
    case = load_use_case(case) if isinstance(case, str) else case
    if source.strip() == HTTP:
        return Posted(case, how.get("symbols", ()))
    if (growing := open_growing(source, posted_schema(case), how.get("symbols", ()) or case.keys)) is not None:
        return growing
    if case.source is not None:
        return case.source(source, **how)
    return Records(source, case.event, how.get("symbols", ()), how.get("columns"))
