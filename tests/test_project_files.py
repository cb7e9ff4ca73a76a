"""What a newcomer and a machine read beside the code: container, changelog, citation, templates, site."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def targets():
    return set(re.findall(r"^([a-z0-9-]+)[a-z0-9 -]*:.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_dev_container_sets_up_with_the_same_commands_as_everybody():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert container["image"].startswith(f"python:{lowest}-")
    assert container["postCreateCommand"] == "make env" and "env" in targets()
    for needed in ("chromium", "libgomp1"):  # what .ci/run fetches for the tests
        assert needed in container["onCreateCommand"] and needed in (ROOT / ".ci/run").read_text()


def test_the_changelog_and_the_citation_name_the_version():
    assert f"## {VERSION}\n" in (ROOT / "CHANGELOG.md").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == VERSION and citation["cff-version"] == "1.2.0"
    assert {"title", "authors", "message", "license"} <= citation.keys()


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "CHANGELOG.md", ".github/PULL_REQUEST_TEMPLATE.md"])
def test_commands_and_links_of_the_pages_for_contributors_exist(page):
    text = (ROOT / page).read_text()
    assert (
        set(re.findall(r"make ([a-z][a-z0-9-]*)", " ".join(re.findall(r"`[^`]+`|```.*?```", text, re.S)))) <= targets()
    )
    assert all((ROOT / page).parent.joinpath(to).exists() for to in re.findall(r"\]\(([^)#]+)\)", text))


def test_verbs_in_the_changelog_exist():
    from rtml.pipeline.commands import rtml

    named = set(re.findall(r"`rtml ([a-z]+)", (ROOT / "CHANGELOG.md").read_text()))
    assert named and named <= set(rtml.commands)


def test_the_workflow_of_a_fork_runs_the_same_script():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert workflow["jobs"]["test"]["steps"][-1] == {"run": ".ci/run"} and (ROOT / ".ci/run").exists()
    for template in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.md"):
        head = yaml.safe_load(template.read_text().split("---")[1])
        assert head.keys() == {"name", "about"}


def test_the_site_has_every_page_that_it_names_and_works_offline():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    pages = [page for entry in site["nav"] for page in entry.values()]
    assert sorted(pages) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    assert site["use_directory_urls"] is False and site["theme"]["highlightjs"] is False
