"""Gates: whether a saved version shall serve, and why."""

from __future__ import annotations

from collections.abc import Callable

from rtml.clock import span_text
from rtml.store.versions import Version

#: Says why a version shall serve; an empty text means that it shall not. It may look at nothing but the version and
#: the registry, because after a crash it may be asked again.
Gate = Callable[[Version], str]


def gate(publish: str | Gate, every: int) -> Gate:
    """The gate of a word: "always" (with snapshots every so many ns) or "never"; a callable is one already.

    Examples
    --------
    >>> gate("always", 600 * 10**9)(None), gate("never", 1)(None)
    ('every 10m', '')
    """
    rules = {"always": lambda version: f"every {span_text(every)}", "never": lambda version: ""}
    if callable(publish):
        return publish
    if publish not in rules:
        raise ValueError(f"publish must be {', '.join(rules)} or a callable, got {publish!r}")
    return rules[publish]
