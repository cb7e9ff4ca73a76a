"""The command that says which versions answer whom: it writes into the ledger of a run, with who and why."""

from contextlib import closing

from command_line import command

from rtml.registry.registry import Registry
from rtml.registry.routing.route import Routes
from rtml.training.run_config import RunConfig


def test_a_canary_is_begun_grown_and_stopped_from_the_command_line(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / ".rtml-run").touch()
    RunConfig.of("crypto", ("ETH-USD",)).write(run / "recipe.json")
    with closing(Registry(run / "registry")) as registry:
        for n in (1, 2):
            version = registry.save("crypto", b"%d" % n, at=n, features="f")
        about = ("--who", "ada", "--why", "better in shadow")
        assert command("route", str(run), "canary", "--arm", "crypto@2=0.05", "--steps", "0.2,0.5", *about) == 0
        assert "now: a canary of 100 % of the units: crypto@learner 95 %, crypto@2 5 %" in capsys.readouterr().out
        assert command("route", str(run), "next", *about) == 0
        assert Routes(registry, "crypto").now().weights == {"crypto@learner": 0.8, "crypto@2": 0.2}
        assert command("route", str(run), "stop", *about) == 0 and command("route", str(run)) == 0
        assert capsys.readouterr().out.splitlines()[-4:] == [
            "ada: a canary of 100 % of the units: crypto@learner 95 %, crypto@2 5 % (better in shadow)",
            "ada: a canary of 100 % of the units: crypto@learner 80 %, crypto@2 20 % (better in shadow)",
            "ada: what serves answers everything (better in shadow)",
            "now: what serves answers everything",
        ]
        assert version.number == 2 and Routes(registry, "crypto").entries()[0].at == 2


def test_what_is_missing_is_said(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / ".rtml-run").touch()
    RunConfig.of("crypto", ("ETH-USD",)).write(run / "recipe.json")
    with closing(Registry(run / "registry")) as registry:
        registry.save("crypto", b"1", at=1, features="f")
    assert command("route", str(run), "canary", "--arm", "crypto@1=0.05") == 1
    assert "who and why go into the ledger, got '' and ''" in capsys.readouterr().err
    assert command("route", str(run), "ab", "--arm", "crypto@1=much", "--who", "ada", "--why", "why") == 1
    assert "an arm is a version and its share such as crypto@3=0.05, got 'crypto@1=much'" in capsys.readouterr().err
