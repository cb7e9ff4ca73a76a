"""A schedule: how a model is trained again, and when, read from a line of text that a notebook parameter can hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rtml.core.clock import span, span_text
from rtml.training.retraining.trigger_set import TriggerSet
from rtml.training.retraining.triggers import OVER, Count, Drift, Every, Rule, Trigger

#: The seven strategies, each with a schedule that is one of its kind.
SEVEN = {
    "continual": "continual",
    "stateless": "stateless after 1000 window 1000",
    "cadence": "stateless every 1h window 6h",
    "stateful": "stateful after 1000",
    "on-demand": "stateless on drift window 2000",
    "on-demand stateful": "stateful on drift",
    "stateful cadence": "stateful every 1h",
}
WINDOW = "10000"  # answers a stateless fit looks back over unless told otherwise
FIRST = "500"  # answers after which a model that waits for a condition is trained for the first time
_OPTION = re.compile(r"\b(window|publish|rehearse|cooldown|first)\s+")
_OR = re.compile(r"\s+or\s+(?=(?:every|after|on|when)\b)")
_AGAINST = re.compile(
    r"(?P<metric>\w+)\s+(?P<share>[\d.]+)\s*%\s*(?P<way>above|below)\s+(?:the\s+)?"
    r"(?:(?P<number>[\d.]+)|reference|champion(?:'s)?)$"
)
_HOW = (
    "a schedule reads '[continual|stateless|stateful] [every 1h | every 500 | after 1000 | on drift | when accuracy "
    "below 90 %] [window 7d] [publish 10m] [rehearse 1 of 500] [cooldown 1h] [first 500]'"
)


@dataclass(frozen=True)
class Schedule:
    """One of the seven strategies with its knobs.

    ``learning`` is continual (answer by answer), stateless (from scratch, over ``window``) or stateful (on from what is
    known). ``triggers`` say when; a continual model has none, but may ``publish`` less often than it learns.

    Examples
    --------
    >>> Schedule("stateful", ("every 1h",)).strategy, Schedule("continual").strategy
    ('stateful cadence', 'continual')
    """

    learning: str
    triggers: tuple[str, ...] = ()
    window: str = ""
    publish: str = ""
    rehearse: tuple[int, int] = (0, 0)
    cooldown: str = ""
    first: str = ""

    @property
    def strategy(self) -> str:
        """Which of the seven it is."""
        if self.learning == "continual":
            return "continual"
        words = {text.split()[0] for text in self.triggers}
        stateful = self.learning == "stateful"
        if words & {"on", "when"}:
            return "on-demand stateful" if stateful else "on-demand"
        if "every" in words:
            return "stateful cadence" if stateful else "cadence"
        return self.learning

    @property
    def text(self) -> str:
        """The line it can be read from again."""
        parts = [self.learning, " or ".join(self.triggers)]
        parts += [f"{name} {value}" for name in ("window", "publish") if (value := getattr(self, name))]
        parts += [f"rehearse {self.rehearse[0]} of {self.rehearse[1]}"] if self.rehearse[0] else []
        parts += [f"{name} {value}" for name in ("cooldown", "first") if (value := getattr(self, name))]
        return " ".join(part for part in parts if part)

    def trigger_set(self, names: Sequence[str], classifier: bool) -> TriggerSet:
        """Its triggers, for rows of these columns."""
        texts = list(self.triggers or ([f"every {self.publish}"] if self.publish else []))
        texts += [f"first {self.first}"] if self.first else []
        built = [trigger(text, tuple(names), classifier) for text in texts]
        return TriggerSet(built or [Trigger()], self.cooldown)


def read(text: str) -> Schedule:
    """Schedule of a line of text.

    Examples
    --------
    >>> read("stateless every 1d window 7d").strategy, read("stateful every 500").strategy
    ('cadence', 'stateful cadence')
    >>> read("on drift cooldown 1h").text
    'stateless on drift of errors by adwin window 10000 cooldown 1h first 500'
    >>> read("stateful when loss 10 % above the champion's").triggers
    ('when loss > 1.1 * reference over 200',)
    """
    head, *options = _OPTION.split(" ".join(text.split()))
    learning, _, rest = head.strip().partition(" ")
    if learning not in ("continual", "stateless", "stateful"):
        learning, rest = "stateless", head.strip()
    if not rest and learning == "stateless" and head.strip() != "stateless":
        raise ValueError(f"{_HOW}, got {text!r}")
    chosen = dict(zip(options[::2], (value.strip() for value in options[1::2]), strict=True))
    triggers = tuple(_canonical(part.strip(), text) for part in _OR.split(rest)) if rest else ()
    conditional = any(part.split()[0] in ("on", "when") for part in triggers)
    _refuse(learning, triggers, conditional, chosen, text)
    if "rehearse" in chosen:
        chosen["rehearse"] = _rehearsed(chosen["rehearse"], text)
    if learning == "stateless":
        chosen.setdefault("window", WINDOW)
    if conditional and not any(part.startswith("after") for part in triggers):
        chosen.setdefault("first", FIRST)
    return Schedule(learning, triggers, **{n: v if n == "rehearse" else _extent(v, n, text) for n, v in chosen.items()})


def trigger(text: str, names: tuple[str, ...] = (), classifier: bool = True) -> Trigger:
    """Trigger of its text, for rows of the columns ``names``.

    Examples
    --------
    >>> trigger("every 500").text, trigger("when recall below 60 % over 400").text
    ('every 500', 'when recall < 60 % over 400')
    """
    kind, _, rest = _canonical(text, text).partition(" ")
    if kind in ("every", "after", "first"):
        return Count(int(rest), kind) if rest.isdigit() else Every(rest)
    if kind == "when":
        rule, _, over = rest.rpartition(" over ")
        return Rule(rule, int(over), classifier)
    return _drift(rest, names, classifier)


def _canonical(text: str, whole: str) -> str:
    """A trigger as it is written in a schedule's own text."""
    kind, _, rest = text.partition(" ")
    rest = rest.removesuffix("answers").strip()
    if kind in ("every", "after", "first") and rest:
        extent = _extent(rest, kind, whole)
        if kind == "every" or extent.isdigit():
            return f"{kind} {extent}"
    if kind == "on" and rest.split(" ")[0] == "drift":
        return _drift(rest).text
    if kind in ("on", "when") and rest:
        rule, _, over = rest.rpartition(" over ") if re.search(r" over \d+$", rest) else (rest, "", str(OVER))
        if against := _AGAINST.fullmatch(rule):
            factor = 1 + (1 if against["way"] == "above" else -1) * float(against["share"]) / 100
            sign = ">" if against["way"] == "above" else "<"
            rule = f"{against['metric']} {sign} {factor:g} * {against['number'] or 'reference'}"
        rule = re.sub(r"\bbelow\b", "<", re.sub(r"\babove\b", ">", rule))
        Rule(rule, int(over))
        return f"when {rule} over {over}"
    raise ValueError(f"{_HOW}, got {text!r} in {whole!r}")


def _drift(text: str, names: tuple[str, ...] = (), classifier: bool = True) -> Drift:
    """Trigger of ``drift [of errors|predictions|<feature>] [by <detector>]``."""
    match = re.fullmatch(r"drift(?: of (?P<of>\w+))?(?: by (?P<by>\w+))?", text)
    of = (match and match["of"]) or "errors"
    if match is None or (names and of not in ("errors", "predictions", *names)):
        raise ValueError(f"a drift reads 'on drift [of errors|predictions|<feature>] [by <detector>]', got 'on {text}'")
    return Drift(match["by"] or "adwin", of, names.index(of) if of in names else -1, classifier)


def _extent(value: str, what: str, text: str) -> str:
    """A number of answers, a span of event time, or ``all`` for a window."""
    value = value.removesuffix("answers").strip()
    if value.isdigit() and int(value) >= 1:
        return str(int(value))
    if (what == "window" and value == "all") or what in ("first", "after"):
        if value == "all":
            return value
        raise ValueError(f"{what} takes a number of answers, got {value!r} in {text!r}")
    try:
        return span_text(span(value))
    except ValueError as ex:
        raise ValueError(f"{what} takes a span such as '1h' or a number of answers, got {value!r} in {text!r}") from ex


def _rehearsed(value: str, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*) of ([1-9]\d*)", value)
    if match is None:
        raise ValueError(f"rehearse takes how many after each answer of how many kept: '1 of 500', got {text!r}")
    return int(match[1]), int(match[2])


def _refuse(learning: str, triggers: tuple, conditional: bool, chosen: dict, text: str) -> None:
    """Say which knobs do not go together."""
    wrong = [
        (learning == "continual" and triggers, "a continual model learns every answer: 'publish 10m' says how often"),
        ("publish" in chosen and learning != "continual", "'publish' is for continual: others publish what they train"),
        ("window" in chosen and learning != "stateless", "'window' is for stateless: others go on from what they know"),
        ("rehearse" in chosen and learning == "stateless", "'rehearse' is for models that go on: widen the window"),
        ("cooldown" in chosen and not conditional, "'cooldown' is for conditions (on drift, when ...), not for timers"),
    ]
    for refused, why in wrong:
        if refused:
            raise ValueError(f"{why}; got {text!r}")
