"""Expressions: a rule over numbers written as text, read by a list of what is allowed and never run as code."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Iterable, Mapping

import numpy as np

_LONGEST = 300  # characters of a rule
_BINARY = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: np.true_divide}
_UNARY = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: np.logical_not}
_COMPARE = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_CALLS = {"abs": np.abs, "min": np.minimum, "max": np.maximum}
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


class Expression:
    """A rule such as ``accuracy < 90 % and answers > 500``, for single numbers and for columns alike.

    Allowed are names of known metrics, numbers and percentages, ``+ - * /``, comparisons, ``and or not``, and ``abs``,
    ``min``, ``max``. A comparison with a metric that has no value (NaN) does not hold.

    Examples
    --------
    >>> rule = Expression("loss > 1.5 * reference or accuracy < 90 %", ["loss", "reference", "accuracy"])
    >>> rule({"loss": 0.5, "reference": 0.4, "accuracy": np.array([0.95, 0.85])})
    array([False,  True])
    >>> Expression("loss.real > 1", ["loss"])
    Traceback (most recent call last):
    ValueError: a rule holds metrics, numbers, + - * /, comparisons, and or not, abs min max; not Attribute
    """

    def __init__(self, text: str, names: Iterable[str]) -> None:
        self.text, known = text.strip(), tuple(names)
        if len(self.text) > _LONGEST:
            raise ValueError(f"a rule has at most {_LONGEST} characters, got {len(self.text)}: write it shorter")
        try:
            self._tree = ast.parse(_PERCENT.sub(r"(\1 / 100)", self.text), mode="eval").body
        except (SyntaxError, ValueError, RecursionError) as ex:
            raise ValueError(f"a rule reads like 'accuracy < 90 % and answers > 500', got {self.text!r}") from ex
        _check(self._tree, self.text, known)
        found = {node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)} - set(_CALLS)
        self.names = tuple(name for name in known if name in found)
        if not self.names or not isinstance(self._tree, ast.Compare | ast.BoolOp | ast.UnaryOp):
            raise ValueError(f"a rule compares a metric ({', '.join(known)}) with something, got {self.text!r}")

    def __call__(self, values: Mapping) -> np.ndarray:
        """Whether it holds, for numbers or for columns of equal length."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(_value(self._tree, values), dtype=bool)


def _check(node: ast.AST, text: str, known: tuple[str, ...]) -> None:
    """Refuse whatever is not on the list."""
    if isinstance(node, ast.Name):
        if node.id not in known:
            raise ValueError(f"no metric {node.id!r} in {text!r}; there are: {', '.join(known)}")
        return
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return
    if not _allowed(node):
        raise ValueError(
            f"a rule holds metrics, numbers, + - * /, comparisons, and or not, abs min max; not {type(node).__name__}"
        )
    for part in _parts(node):
        _check(part, text, known)


def _allowed(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        fine = isinstance(node.func, ast.Name) and node.func.id in _CALLS and not node.keywords
        return fine and len(node.args) == (1 if node.func.id == "abs" else 2)
    if isinstance(node, ast.Compare):
        return all(type(op) in _COMPARE for op in node.ops)
    if isinstance(node, ast.BinOp | ast.UnaryOp):
        return type(node.op) in _BINARY or type(node.op) in _UNARY
    return isinstance(node, ast.BoolOp)


def _parts(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.Call):
        return node.args
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    if isinstance(node, ast.BoolOp):
        return node.values
    return [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]


def _value(node: ast.AST, values: Mapping):
    if isinstance(node, ast.Constant):
        return float(node.value)
    if isinstance(node, ast.Name):
        return values[node.id]
    parts = [_value(part, values) for part in _parts(node)]
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](*parts)
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](parts[0])
    if isinstance(node, ast.Call):
        return _CALLS[node.func.id](*parts)
    if isinstance(node, ast.BoolOp):
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return join.reduce(np.broadcast_arrays(*parts))
    held = [_COMPARE[type(op)](a, b) for op, a, b in zip(node.ops, parts, parts[1:], strict=False)]
    return np.logical_and.reduce(np.broadcast_arrays(*held))
