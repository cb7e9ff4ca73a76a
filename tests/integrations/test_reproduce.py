"""A version is loaded by the code that saved it, in an environment of its own, and predicts the same."""

import os
import shutil
import subprocess
import sysconfig
import venv
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version as release_of
from pathlib import Path

import pytest
from runs import trained

from rtml.core import provenance
from rtml.integrations.reproduce import locked, reproduce, reproduced, unpack
from rtml.registry.registry import Registry


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run that was trained."""
    folder = tmp_path_factory.mktemp("runs") / "short"
    trained(folder, {"return": "rls", "sign": "logistic"})
    return folder


def fresh(code, folder):
    """A new interpreter that knows nothing of this checkout, with the libraries and compiled kernels that are here."""
    venv.create(folder, with_pip=False)
    libraries = Path(sysconfig.get_paths()["purelib"])
    place = next((folder / "lib").glob("python*")) / "site-packages"
    for one in libraries.iterdir():
        if not one.name.startswith(("__editable__", "rtml", "_rtml")) and one.suffix != ".pth":
            (place / one.name).symlink_to(one)
    release = release_of("rtml")
    (place / f"rtml-{release}.dist-info").mkdir()
    named = f"Metadata-Version: 2.1\nName: rtml\nVersion: {release}\n"
    (place / f"rtml-{release}.dist-info" / "METADATA").write_text(named)
    for cache in provenance.PACKAGE.rglob("__pycache__"):
        shutil.copytree(cache, code / "rtml" / cache.relative_to(provenance.PACKAGE))
    return folder / "bin" / "python"


def test_a_version_predicts_the_same_in_an_environment_of_its_own_also_when_its_state_was_dropped(run, tmp_path):
    with closing(Registry(run / "registry")) as registry:
        version = registry.get("crypto@2")
        registry._versions.drop([version])
        told = reproduced(run, registry, version, tmp_path / "there", fresh)
        assert told.same and registry.kept(version) and told.libraries["numpy"] == version.libraries["numpy"]
        assert str(told).endswith(f"the same predictions, fingerprint {version.fingerprint}")
        assert provenance.source(tmp_path / "there" / "code" / "rtml") == version.code.partition(" ")[0]
    other = replace(told, fingerprint="x")
    assert not other.same and "OTHER predictions" in str(other)


def test_code_that_is_nowhere_to_be_found_is_refused_and_no_other_is_taken_for_it(run, tmp_path):
    with closing(Registry(run / "registry")) as registry:
        version = registry.get("crypto@1")
    for code in ("sha256:0000000000000000", "sha256:0000000000000000 git:0123456789abcdef"):
        with pytest.raises(LookupError, match="neither this package nor a commit of"):
            unpack(replace(version, code=code), tmp_path / "code")


@pytest.mark.skipif(not (provenance.PACKAGE.parent / ".git").exists(), reason="no checkout: there are no commits")
def test_code_of_an_older_commit_comes_from_git(run, tmp_path):
    with closing(Registry(run / "registry")) as registry:
        version = registry.get("crypto@1")
    root = provenance.PACKAGE.parent
    log = subprocess.run(
        ["git", "-C", str(root), "log", "--format=%H", "-2", "--", "rtml"], capture_output=True, text=True
    )
    older = log.stdout.split()[-1]
    tree = tmp_path / "older"
    tree.mkdir()
    packed = subprocess.run(["git", "-C", str(root), "archive", older, "rtml"], capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(tree)], input=packed.stdout, check=True)
    wanted = provenance.source(tree / "rtml")
    unpack(replace(version, code=f"{wanted} git:{older[:16]}"), tmp_path / "code")
    assert (
        provenance.source(tmp_path / "code" / "rtml") == wanted and (tmp_path / "code" / "requirements.lock").exists()
    )


@pytest.mark.skipif("RTML_DEEP" not in os.environ, reason="installs the whole lock: make test-deep")
def test_a_version_is_reproduced_from_its_lock(run, tmp_path, capsys):
    assert reproduce(run, "crypto@3", str(tmp_path / "there")) == 0
    assert "the same predictions" in capsys.readouterr().out


def test_without_a_lock_it_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="without a lock"):
        locked(tmp_path, tmp_path / "environment")
