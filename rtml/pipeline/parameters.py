"""Notebook parameters: what a notebook declares, and what is given in a profile or on the command line, checked."""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtml.core.clock import is_span

TYPES: dict[str, Callable[..., Any]] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "list": list,
    "dict": dict,
}
_LINE = re.compile(r"^(?P<name>[A-Z][A-Z0-9_]*): (?P<type>\w+) = (?P<default>[^=#]+)  # (?P<meaning>[^=]+)$")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's parameters cell.

    Examples
    --------
    >>> Parameter("EVERY", "str", "1h", "between versions").spans
    True
    >>> Parameter("MODEL", "str", "rls", "of the learner").spans
    False
    """

    name: str
    type: str
    default: object
    meaning: str

    @property
    def spans(self) -> bool:
        """Whether it is a length of time, or several, as its default is."""
        return isinstance(self.default, str) and is_span(self.default)


def tagged(cell: Mapping) -> bool:
    """Whether a notebook cell is the one of the parameters.

    Examples
    --------
    >>> tagged({"cell_type": "code", "metadata": {"tags": ["parameters"]}}), tagged({"cell_type": "markdown"})
    (True, False)
    """
    return cell["cell_type"] == "code" and "parameters" in cell.get("metadata", {}).get("tags", [])


def declared(notebook: Path) -> dict[str, Parameter]:
    """Parameters of a notebook by name, from its one tagged cell.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> source = ["SEED: int = 7  # random seed"]
    >>> cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "03_backtest.ipynb"
    ...     _ = path.write_text(json.dumps({"cells": [cell]}))
    ...     print(declared(path)["SEED"].default)
    7
    """
    cells = [c for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if tagged(c)]
    if len(cells) != 1:
        raise ValueError(f"{notebook.name} needs one code cell with the tag 'parameters', got {len(cells)}")
    lines = [line for line in "".join(cells[0]["source"]).splitlines() if line.strip()]
    parameters = [read_line(line, notebook.name) for line in lines]
    return {p.name: p for p in parameters}


def read_line(line: str, where: str) -> Parameter:
    """Parameter of one line of the tagged cell.

    Examples
    --------
    >>> read_line('HORIZON_S: float = 5.0  # how far ahead the label looks, seconds', "03")
    Parameter(name='HORIZON_S', type='float', default=5.0, meaning='how far ahead the label looks, seconds')
    """
    match = _LINE.match(line.rstrip())
    if match is None or match["type"] not in TYPES:
        raise ValueError(f"{where}: a parameter reads 'NAME: type = literal  # meaning, unit', got {line!r}")
    default = ast.literal_eval(match["default"].strip())
    if type(default) is not TYPES[match["type"]]:
        raise ValueError(f"{where}: {match['name']} is declared {match['type']}, its default is {default!r}")
    return Parameter(match["name"], match["type"], default, match["meaning"])


def from_text(parameter: Parameter, text: str):
    """Value of a parameter given as text on the command line; a list may be written ``a,b`` or as JSON.

    Examples
    --------
    >>> from_text(Parameter("SYMBOLS", "list", [], "instruments"), "ETH-USD,BTC-USD")
    ['ETH-USD', 'BTC-USD']
    """
    try:
        if parameter.type == "bool":
            return _WORDS[text.lower()]
        if parameter.type == "list" and text.lstrip()[:1] not in ("[", "{"):
            return [part.strip() for part in text.split(",") if part.strip()]
        if parameter.type in ("list", "dict"):
            return checked(parameter, json.loads(text))
        return checked(parameter, TYPES[parameter.type](text))
    except (ValueError, KeyError, SyntaxError) as ex:
        raise ValueError(wrong(parameter, text)) from ex


def checked(parameter: Parameter, value):
    """Value of a parameter that has a type already, as in a profile; a whole number will do for a float.

    Examples
    --------
    >>> checked(Parameter("RATE", "float", 0.5, "learning rate"), 1)
    1.0
    >>> checked(Parameter("SEED", "int", 7, "random seed"), 1.5)
    Traceback (most recent call last):
    ValueError: SEED must be int, got 1.5: random seed; its default is 7
    """
    if parameter.type == "float" and type(value) is int:
        return float(value)
    if type(value) is not TYPES[parameter.type] or (parameter.spans and not all(map(is_span, value.split(",")))):
        raise ValueError(wrong(parameter, value))
    return value


def wrong(parameter: Parameter, value) -> str:
    """Sentence about a value of the wrong type.

    Examples
    --------
    >>> wrong(Parameter("SEED", "int", 7, "random seed"), "x")
    "SEED must be int, got 'x': random seed; its default is 7"
    """
    kind = {"bool": "bool (true or false)", "dict": "dict in JSON", "list": "list (a,b or JSON)"}
    kind |= {"str": "a length of time such as 250ms, 10s, 5m, 24h or 7d"} if parameter.spans else {}
    return (
        f"{parameter.name} must be {kind.get(parameter.type, parameter.type)}, got {value!r}: "
        f"{parameter.meaning}; its default is {parameter.default!r}"
    )


def chosen(
    notebooks: Mapping[str, Mapping[str, Parameter]], profile: Mapping[str, object], given: Mapping[str, str]
) -> dict[str, dict[str, object]]:
    """Values to hand to each notebook: those of the profile, and over them those given, wherever they are declared.

    A name that no notebook declares is refused, because a misspelt parameter that is ignored is worse than an error.

    Examples
    --------
    >>> seed, rate = Parameter("SEED", "int", 7, "random seed"), Parameter("RATE", "float", 0.5, "learning rate")
    >>> chosen({"03": {"SEED": seed, "RATE": rate}, "04": {"SEED": seed}}, {"SEED": 1, "RATE": 2}, {"SEED": "9"})
    {'03': {'SEED': 9, 'RATE': 2.0}, '04': {'SEED': 9}}
    """
    known = {name for parameters in notebooks.values() for name in parameters}
    for name in [*profile, *given]:
        if name not in known:
            raise LookupError(unknown(name, known))
    return {
        step: {name: checked(p, profile[name]) for name, p in parameters.items() if name in profile}
        | {name: from_text(p, given[name]) for name, p in parameters.items() if name in given}
        for step, parameters in notebooks.items()
    }


def unknown(name: str, known: Iterable[str]) -> str:
    """Sentence about a parameter that no notebook declares.

    Examples
    --------
    >>> unknown("SEEDS", ["SEED", "RATE"])
    "no notebook to be run has a parameter 'SEEDS' (did you mean SEED?); declared: RATE, SEED"
    """
    close = difflib.get_close_matches(name.upper(), sorted(known), n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"no notebook to be run has a parameter {name!r}{hint}; declared: {', '.join(sorted(known))}"
