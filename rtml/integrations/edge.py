"""A version on a device: one file that predicts and goes on learning, and the way back of what it learned.

``rtml export RUN VERSION --to python`` writes the file; ``rtml import RUN VERSION FILE`` makes the state that a device
hands back a version of the registry, whose parent is the version that was exported.
"""

from __future__ import annotations

import ast
import json
import sys
from contextlib import closing
from pathlib import Path

import numpy as np

from rtml.core.clock import moment
from rtml.core.state import dumps, loads
from rtml.models.compiled import Compiled, restore
from rtml.registry.fingerprint import fingerprint
from rtml.registry.registry import Registry
from rtml.registry.versions import Version

LANGUAGES = {"python": "py", "javascript": "js", "micropython": "py"}  #: what a device may speak, and its suffix
FORMAT = 1  #: of a device's state
_LEARNED = ("count", "intercept", "weights", "means", "variances", "missed", "covariance")


def exported(registry: Registry, version: Version | str, language: str = "python", target: str = "") -> str:
    """Source of a device's file: the model of a version, and the program that goes on from it.

    Parameters
    ----------
    registry
        Where the version is.
    version
        Its name, such as crypto@3.
    language
        One of :data:`LANGUAGES`; MicroPython's is Python without annotations and texts.
    target
        Which of its models; the first one unless given.

    Raises
    ------
    ValueError
        For a language or a model that is not exported.

    Examples
    --------
    >>> exported(None, "crypto@3", "cobol")
    Traceback (most recent call last):
        ...
    ValueError: --to must be one of python, javascript, micropython, got 'cobol'
    """
    if language not in LANGUAGES:
        raise ValueError(f"--to must be one of {', '.join(LANGUAGES)}, got {language!r}")
    version = registry.get(version)
    name, model = _linear(loads(registry.load(version))["models"], target)
    text = json.dumps({"format": FORMAT, "version": version.id, "target": name} | _device_state(model))
    if language == "javascript":
        program = Path(__file__).with_name("edge_device.js").read_text(encoding="utf-8")
        return program.replace("const STATE = {};", f"const STATE = {text};", 1)
    program = Path(__file__).with_name("edge_device.py").read_text(encoding="utf-8")
    lines = [f"STATE = {text}" if line.startswith("STATE = ") else line for line in program.splitlines()]
    source = "\n".join(lines) + "\n"
    return source if language == "python" else _bare(source)


def imported(registry: Registry, version: Version | str, learned: dict, at: int = 0) -> Version:
    """The state that a device hands back as a version of the registry, a child of the one that was exported.

    It serves nobody until it is promoted: like every version it is a challenger that can be compared on the questions
    asked after it was saved (:func:`rtml.registry.lineage.compare`).

    Parameters
    ----------
    registry, version
        The version that was exported.
    learned
        What the device's ``state()`` gave.
    at
        Event time, ns, at which the device handed it over; that of its parent unless given, since a device has no
        clock that is trusted.

    Raises
    ------
    ValueError
        Where the state is of another version, or no numbers.
    """
    parent = registry.get(version)
    if learned.get("format") != FORMAT or learned.get("version") != parent.id:
        got = f"format {learned.get('format')!r}, version {learned.get('version')!r}"
        raise ValueError(f"expected a device's state of format {FORMAT} and version {parent.id}, got {got}")
    whole = loads(registry.load(parent))
    name, model = _linear(whole["models"], learned["target"])
    whole["models"][name] = _merged(model, learned)
    before, after = model.state["count"], learned["count"]
    if not after >= before:
        raise ValueError(f"the device has learned {after:g} answers, {parent.name} {before:g}: export it again")
    models = {target: restore(state) for target, state in whole["models"].items()}
    describe = {"models": parent.describe.get("models", {})}
    describe |= {"cause": f"learned {after - before:g} answers on a device, as a child of {parent.name}"}
    describe |= {"fingerprint": fingerprint(models, whole["names"])}
    data = {"part": "device", "first_offset": int(before) + 1, "last_offset": int(after)}
    about = {"features": parent.features, "parent": parent, "data": data, "format": parent.format}
    return registry.save(parent.model, dumps(whole), at=at or parent.at, describe=describe, **about)


def export_version(run: Path, version: str, to: str = "python", out: str = "", target: str = "") -> None:
    """Write the file of a version, to standard output where ``out`` is "-".

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     export_version(Path(folder), "crypto@3", to="cobol")
    Traceback (most recent call last):
        ...
    ValueError: --to must be one of python, javascript, micropython, got 'cobol'
    """
    with closing(Registry(run / "registry")) as registry:
        source = exported(registry, version, to, target)
    if out == "-":
        sys.stdout.write(source)
        return
    path = Path(out or f"{version.replace('@', '-')}.{LANGUAGES[to]}")
    path.write_text(source, encoding="utf-8")
    print(f"{path}: {len(source.encode()):,} bytes of {to}")


def import_state(run: Path, version: str, file: str, at: str = "") -> None:
    """Make the state of a device, a JSON file, a version of a run."""
    learned = json.loads(Path(file).read_text(encoding="utf-8"))
    with closing(Registry(run / "registry")) as registry:
        new = imported(registry, version, learned, moment(at) if at else 0)
        print(f"{new.name}: {new.describe['cause']}; it serves once it is promoted (POST /promote)")


def _linear(states: dict, target: str) -> tuple[str, Compiled]:
    name = target or next(iter(states))
    if name not in states:
        raise LookupError(f"the version has no model of {name!r}; there are: {', '.join(states)}")
    model = restore(states[name])
    if not isinstance(model, Compiled):
        can = "rls, rls_all, sgd, logistic, recursive_logistic"
        raise ValueError(f"only linear models fit on a device ({can}), {name!r} is a {type(model).__name__}")
    return name, model


def _device_state(model: Compiled) -> dict:
    """State of a model as the device's program has it: JSON, the lower triangle of the covariance, no infinity."""
    state = model.state
    largest = np.finfo(float).max
    found = {"names": list(state["names"]), "how": np.clip(state["how"], -largest, largest).tolist()}
    for name in _LEARNED:
        if name in state:
            found[name] = np.asarray(state[name]).tolist()
    if "covariance" in state:
        found["covariance"] = state["covariance"][np.tril_indices(len(state["weights"]) + 1)].tolist()
    return found


def _merged(model: Compiled, learned: dict) -> dict:
    """State of a model with what a device has learned since."""
    state = model.state
    if learned.get("names") != list(state["names"]):
        raise ValueError(f"the device's features are {learned.get('names')}, the version's {state['names']}")
    for name in [name for name in _LEARNED if name in state]:
        values = np.array(learned[name], dtype=np.float64)
        if name == "covariance":
            size = len(state["weights"]) + 1
            whole = np.zeros((size, size))
            whole[np.tril_indices(size)] = values
            values = whole + np.tril(whole, -1).T
        if values.shape != np.shape(state[name]) or not np.isfinite(values).all():
            raise ValueError(
                f"{name} of a device's state must be {np.shape(state[name])} finite numbers: it is damaged"
            )
        state[name] = values if values.ndim else float(values)
    return state


def _bare(source: str) -> str:
    """The same program without texts and annotations, for a machine with little memory."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in node.args.args:
                argument.annotation = None
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node):
            node.body = node.body[1:]
    return ast.unparse(tree) + "\n"
