"""The list of ``make mutants`` is up to date: every rule stands where it says, and its tests are there."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "deep"))

from mutants import MUTANTS  # noqa: E402


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.rule for mutant in MUTANTS])
def test_a_mutant_changes_the_line_of_its_rule(mutant):
    assert (ROOT / "rtml" / mutant.file).read_text(encoding="utf-8").count(mutant.line) in (1, 2)
    assert mutant.instead != mutant.line
    assert all((ROOT / "tests" / word).exists() for word in mutant.tests.split() if word.endswith(".py"))


def test_operators_kernels_stores_gate_and_serving_have_mutants():
    rooms = {mutant.file.partition("/")[0] for mutant in MUTANTS}
    assert {"training", "kernels", "store", "registry", "serving", "usecases"} <= rooms and len(MUTANTS) >= 30
