"""Gates: which saved versions shall serve."""

from __future__ import annotations

from rtml.clock import span_text
from rtml.flow import Flow
from rtml.happenings import Watcher
from rtml.promoting import Promoting, Rule
from rtml.registry import Registry


def gate(publish: str | Rule, registry: Registry, model: str, flow: Flow, every: int) -> Watcher:
    """The watcher of a word: "always" (with snapshots every so many ns) or "never"; or of a rule.

    Examples
    --------
    >>> gate("never", None, "eth", None, 600 * 10**9).name
    'gate'
    """
    rules = {"always": lambda version: f"every {span_text(every)}", "never": lambda version: ""}
    if callable(publish):
        return Promoting(publish, registry, model)
    if publish not in rules:
        raise ValueError(f"publish must be {', '.join(rules)} or a callable, got {publish!r}")
    return Promoting(rules[publish], registry, model)
