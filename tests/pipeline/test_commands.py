"""The command line: every verb is carried out by a function that exists, and help imports nothing heavy."""

import inspect
import shlex
import subprocess
import sys
import types
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from command_line import carry_out, command

from rtml.pipeline import commands
from rtml.pipeline.commands import VERBS, rtml

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "pandas", "numba", "river", "matplotlib", "tqdm")
NOTHING = types.SimpleNamespace()
verbs = pytest.mark.parametrize("verb", list(rtml.commands.values()), ids=lambda verb: verb.name)


@verbs
def test_every_verb_leads_to_a_function_that_takes_its_parameters(verb):
    function = getattr(import_module(verb.module), verb.function)
    inspect.signature(function).bind(**{parameter.name: None for parameter in verb.params})


@verbs
def test_help_fits_on_one_screen_and_says_what_each_option_is_for(verb):
    context = click.Context(verb, info_name=f"rtml {verb.name}")
    assert len(verb.get_help(context).splitlines()) <= 45
    assert all(parameter.help for parameter in verb.params if isinstance(parameter, click.Option))
    assert not verb.get_short_help_str(60).endswith("..."), "the first sentence is short enough for the list"


@verbs
def test_help_shows_an_example_that_the_command_takes(verb):
    words = shlex.split(verb.example)
    assert words[:2] == ["rtml", verb.name]
    assert verb.make_context(verb.name, words[2:]).params, "every option of the example exists, every argument is given"
    assert f"Example: {verb.example}" in verb.get_help(click.Context(verb, info_name=verb.name)), "on a line of its own"


def test_help_imports_none_of_the_rooms():
    program = (
        "import sys; from click.testing import CliRunner; from rtml.pipeline.commands import VERBS, rtml\n"
        "for words in [[], *([verb] for verb in rtml.commands)]:\n"
        "    assert CliRunner().invoke(rtml, [*words, '--help']).exit_code == 0, words\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@verbs
def test_the_first_line_comes_before_anything_heavy_is_imported(verb, monkeypatch, capsys):
    """What a user sees within a second: the line stands there when the function's module is asked for."""
    seen = []
    monkeypatch.setattr(commands, "import_module", lambda name: seen.append((name, capsys.readouterr().err)) or NOTHING)
    monkeypatch.setattr(NOTHING, verb.function, lambda **_: 0, raising=False)
    monkeypatch.setattr("rtml.core.run_folder.check_run", lambda folder: None)
    needed = [p for p in verb.params if isinstance(p, click.Argument) and p.required]
    words = [next(iter(getattr(p.type, "choices", ["x"]))) for p in needed for _ in range(max(1, p.nargs))]
    carry_out(verb.name, *words, *(["--to", "mailto:x"] if verb.name in ("alerts", "sink") else []))
    assert seen == [(verb.module, f"rtml {verb.name}: starting\n")]


def test_until_the_first_line_a_command_has_imported_neither_arrays_nor_models():
    program = (
        "import sys; from rtml.pipeline import commands\n"
        "class Watched:\n"
        f"    def write(self, text): raise SystemExit(str([n for n in {HEAVY} if n in sys.modules]) + text)\n"
        "    def flush(self): pass\n"
        "    def isatty(self): return False\n"
        "sys.stderr, said = Watched(), sys.stderr\n"
        "try: commands.rtml(['serve', 'x'], prog_name='rtml')\n"
        "except SystemExit as ex: print(ex.code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]rtml serve: starting"


def test_an_empty_run_is_the_default_and_an_error_ends_with_its_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    assert command("report", "") == command("report") == 1
    assert capsys.readouterr().err.count("there is no run runs/latest; runs: none yet; rtml run NAME makes one") == 2
    assert command("train", "../up") == 1
    assert "rtml train: a run is a name such as 'dev' or a folder" in capsys.readouterr().err


def test_a_name_that_no_run_has_is_refused_with_those_that_there_are(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    for name in ("demo", "sessions"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / ".rtml-run").touch()
    for verb in ("serve", "batch", "check"):
        assert command(verb, "sesions") == 1
        assert "there is no run runs/sesions; runs: sessions, demo; rtml run NAME" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "sesions").exists()


def test_the_shell_completes_verbs_and_names_of_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    for name in ("eth", "eth-2", "fraud"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "status.json").write_text("{}")
    shell = ShellComplete(rtml, {}, "rtml", "_RTML_COMPLETE")
    assert [item.value for item in shell.get_completions(["serve"], "eth")] == ["eth", "eth-2"]
    assert [item.value for item in shell.get_completions([], "ma")] == ["materialize"]


def test_a_verb_whose_module_is_missing_is_not_offered():
    from importlib.util import find_spec

    assert {verb.name for verb in VERBS if find_spec(verb.module)} == set(rtml.commands)
