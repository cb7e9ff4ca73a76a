import subprocess

import pytest

from rtml.core import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of one module, in a folder that is no checkout."""
    package = tmp_path / "site" / "rtml"
    package.mkdir(parents=True)
    (package / "module.py").write_text("a = 1\n")
    monkeypatch.setattr(provenance, "PACKAGE", package)
    return package


def test_a_changed_or_renamed_file_is_other_code(package):
    code = provenance.code.__wrapped__
    first = code()
    assert code() == first
    (package / "module.py").write_text("a = 2\n")
    second = code()
    (package / "module.py").rename(package / "other.py")
    assert len({first, second, code()}) == 3


def test_an_installed_package_does_not_claim_the_commit_of_a_repository_around_it(package):
    git = ["git", "-C", str(package.parents[1]), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    assert "git:" not in provenance.code.__wrapped__()


def test_a_checkout_says_its_commit(package):
    git = ["git", "-C", str(package.parent), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "ours"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout[:16]
    assert provenance.code.__wrapped__().endswith(f" git:{head}")


def test_libraries_have_versions():
    assert all(version[0].isdigit() for version in provenance.libraries().values())
