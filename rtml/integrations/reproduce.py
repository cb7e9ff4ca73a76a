"""A version in a fresh environment made of its own code and lock: ``rtml reproduce RUN VERSION``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import venv
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from rtml.core import provenance
from rtml.core.run_folder import home
from rtml.registry.registry import Registry
from rtml.registry.versions import Version

_CHECKOUT = provenance.PACKAGE.parent
_NEEDED = ("requirements.lock", "pyproject.toml", "README.md", ".ci/uv.lock")  # beside the package, for an environment
_ASK = """
import json, os, sys
os.environ["RTML_PICKLES"] = "1"  # the version's own code runs here anyway
from rtml.core import provenance
from rtml.core.state import loads
from rtml.models.compiled import restore
from rtml.registry.fingerprint import fingerprint
from rtml.registry.registry import Registry
registry = Registry(sys.argv[1])
state = loads(registry.load(registry.get(sys.argv[2])))
models = {target: restore(kept) for target, kept in state["models"].items()}
found = {"fingerprint": fingerprint(models, state["names"]), "libraries": provenance.libraries()}
print(json.dumps(found | {"place": str(provenance.PACKAGE), "python": sys.executable}))
"""


@dataclass(frozen=True)
class Reproduced:
    """A version, and what it predicts in an environment of its own."""

    version: Version
    fingerprint: str
    libraries: dict[str, str]
    place: str

    @property
    def same(self) -> bool:
        """Whether it predicts the same on the probe, to the last bit."""
        return self.fingerprint == self.version.fingerprint

    def __str__(self) -> str:
        what = "the same predictions" if self.same else f"OTHER predictions than {self.version.fingerprint}"
        other = {k: v for k, v in self.libraries.items() if self.version.libraries.get(k) not in (None, v)}
        differ = f"; it was saved by {', '.join(f'{k} {self.version.libraries[k]}' for k in other)}" if other else ""
        return f"{self.version.name} in {self.place}: {what}, fingerprint {self.fingerprint}{differ}"


def reproduce(run: Path, version: str, folder: str = "") -> int:
    """Build the environment of a version, load the version there, and say whether it predicts the same.

    A state that is no longer kept is built again from the run's log, in that environment too.

    Parameters
    ----------
    run
        Folder of the run.
    version
        Such as crypto@3.
    folder
        Where to build it; ``build/reproduce/<id>`` unless given.
    """
    with closing(Registry(run / "registry")) as registry:
        found = registry.get(version)
        place = Path(folder) if folder else home() / "build" / "reproduce" / found.id[:12]
        told = reproduced(run, registry, found, place, locked)
    print(told)
    return 0 if told.same else 1


def reproduced(
    run: Path,
    registry: Registry,
    version: Version,
    folder: Path,
    environment: Callable[[Path, Path], Path] | None = None,
) -> Reproduced:
    """The same as a result; ``environment(code, folder)`` makes an interpreter, by default of the lock in a venv."""
    code = folder / "code"
    unpack(version, code)
    python = (environment or locked)(code, folder / "environment")
    if not registry.kept(version):
        _in(python, code, ["-m", "rtml", "rebuild", str(run.resolve()), version.name])
    told = json.loads(_in(python, code, ["-c", _ASK, str(registry.path.resolve()), version.id]).splitlines()[-1])
    if Path(told["place"]) != (code / "rtml").resolve():
        raise RuntimeError(f"the environment ran {told['place']} instead of {code}: remove {folder} and try again")
    return Reproduced(version, told["fingerprint"], told["libraries"], str(folder))


def unpack(version: Version, code: Path) -> None:
    """Put the code that saved a version into a folder: this package where it is the same, else of its commit.

    Raises
    ------
    LookupError
        Where neither has the hash that was recorded with the version.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from tempfile import TemporaryDirectory
    >>> from rtml.core.provenance import PACKAGE, source
    >>> with TemporaryDirectory() as folder:
    ...     unpack(SimpleNamespace(code=source(PACKAGE)), Path(folder, "code"))
    ...     print(source(Path(folder, "code", "rtml")) == source(PACKAGE))
    True
    """
    wanted, _, commit = version.code.partition(" git:")
    shutil.rmtree(code, ignore_errors=True)
    code.mkdir(parents=True)
    if provenance.source(provenance.PACKAGE) == wanted:
        shutil.copytree(provenance.PACKAGE, code / "rtml", ignore=shutil.ignore_patterns("__pycache__"))
        for name in _NEEDED:
            if (_CHECKOUT / name).exists():
                (code / name).parent.mkdir(exist_ok=True)
                shutil.copy(_CHECKOUT / name, code / name)
        return
    git = ["git", "-C", str(_CHECKOUT), "archive", commit or "none", "--", "rtml", *_NEEDED]
    packed = subprocess.run(git, capture_output=True)
    if packed.returncode == 0:
        with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
            archive.extractall(code, filter="data")
    if provenance.source(code / "rtml") != wanted:
        raise LookupError(
            f"{version.name} was saved by code {version.code}, which is neither this package nor a commit of "
            f"{_CHECKOUT}: check out what saved it (uncommitted changes cannot be reproduced)"
        )


def locked(code: Path, folder: Path) -> Path:
    """A new environment with exactly what the lock of that code names, hashes checked; its interpreter.

    Examples
    --------
    >>> locked(Path("/no/code"), Path("/no/folder"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    FileNotFoundError: /no/code/requirements.lock is missing: the version was saved ...
    """
    lock = code / "requirements.lock"
    if not lock.exists():
        raise FileNotFoundError(f"{lock} is missing: the version was saved by an installed package, without a lock")
    venv.create(folder, clear=True, with_pip=True)
    python = folder / "bin" / "python"
    if not _synced(code, python):
        done = subprocess.run([*_pip(python), "-r", str(lock)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{lock} cannot be installed: {done.stderr[-400:]}")
    itself = [*_pip(python)[:-1], "--no-deps", "--no-build-isolation", "--editable", str(code)]
    done = subprocess.run(itself, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{code} cannot be installed: {done.stderr[-400:]}")
    return python


def _pip(python: Path) -> list[str]:
    return [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]


def _synced(code: Path, python: Path) -> bool:
    """Whether uv, of that code's own lock, installed it: four times as fast as pip, from the index that pip knows."""
    tool = code / ".ci" / "uv.lock"
    if not tool.exists() or subprocess.run([*_pip(python), "-r", str(tool)], capture_output=True).returncode:
        return False
    ask = [str(python), "-m", "pip", "config", "get", "global.index-url"]
    asked = subprocess.run(ask, capture_output=True, text=True)
    known = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or asked.stdout.strip()
    words = ["pip", "sync", "--quiet", "--python", str(python), "--require-hashes", str(code / "requirements.lock")]
    chosen = os.environ | ({"UV_DEFAULT_INDEX": known} if known else {})
    return not subprocess.run([str(python.with_name("uv")), *words], capture_output=True, env=chosen).returncode


def _in(python: Path, code: Path, words: list[str]) -> str:
    """What a command of an environment prints, with the version's code on its path and nothing of this process."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "RTML_HOME") if name in os.environ}
    done = subprocess.run(
        [str(python), *words], cwd=code, env=kept | {"PYTHONPATH": str(code)}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[:3])[:60]} failed in {code.parent}: {done.stderr[-800:]}")
    return done.stdout
