"""The command line ``rtml VERB RUN``: every verb with its options and the function that carries it out.

The table holds functions by name and imports them when they are called, so that ``rtml --help`` and
``rtml VERB --help`` answer at once. It is written with click, which the lock holds for uvicorn and papermill anyway:
it completes verbs, options and names of runs in bash, zsh and fish.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

_BEGINS = ("run", "live", "ingest")  # verbs that make a run where there is none; so does what follows one to come


class Text(click.ParamType):
    """Text of which an empty one stands for the default, so that make can pass on a variable as it is."""

    name = "text"

    def __init__(self, default: str = "") -> None:
        self._default = default

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text that was given, or the default."""
        return value or self._default


class RunName(Text):
    """Name or folder of a run."""

    name = "run"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The runs whose names begin with what has been typed."""
        from rtml.pipeline.runs import folders

        return [CompletionItem(folder.name) for folder in folders() if folder.name.startswith(incomplete)]


class Verb(click.Command):
    """A command that is carried out by a function named ``module:function``.

    An error ends it with its sentence instead of a trace, and the function's result is the exit code. It takes the
    values of the parameters by name.

    Parameters
    ----------
    name
        The word a user types.
    function
        Where it is done.
    does
        The text of its help.
    example
        A line that a user may type, shown below it.
    parameters
        Arguments and options; an argument ``run`` is handed on as the folder of the run.
    """

    def __init__(self, name: str, function: str, does: str, example: str, *parameters: click.Parameter) -> None:
        raw = any(parameter.type is click.UNPROCESSED for parameter in parameters)
        shown = f"\b\nExample: {example}"
        super().__init__(name, {"ignore_unknown_options": raw}, params=list(parameters), help=does, epilog=shown)
        self.example = example
        self.module, _, self.function = function.partition(":")

    def invoke(self, ctx: click.Context) -> None:
        """Import the function and call it."""
        from rtml.core.process import at_work, quitting

        os.umask(0o077)  # what a run holds is for its user
        goes_on = bool(ctx.params.get("follow")) or self.name in ("serve", "live", "schedule", "lab")
        with quitting(ctx.command_path), at_work(ctx.command_path, goes_on):
            if ctx.params.get("run"):
                from rtml.core.run_folder import check_run, run_folder

                ctx.params["run"] = run_folder(ctx.params["run"])
                if not (ctx.params.get("follow") or self.name in _BEGINS):
                    check_run(ctx.params["run"])
            function = getattr(import_module(self.module), self.function)
            code = function(**ctx.params)
        if code:
            sys.exit(code)


def _run(default: str | None = "latest") -> click.Argument:
    """The argument RUN with its default; None: it has to be given."""
    return click.Argument(["run"], type=RunName(default or ""), default=default, required=default is None)


def _option(*names: str, **how: Any) -> click.Option:
    how |= {"show_default": True} if how.get("default") else {}
    return click.Option(list(names), **how)


_FOLLOW = _option("--follow", is_flag=True, help="Go on with what arrives, until Ctrl-C or SIGTERM.")
_EVERY = _option("--every", default="10m", help="Event time between versions: 30s, 1d.")
_MODEL = _option("--model", default="", help="Name of the model in the registry; that of the use case if empty.")
_HOST = _option("--host", default="127.0.0.1", help="Address to listen on; any but this machine needs RTML_TOKEN.")
_LOG = _option(
    "--log", default="", help="URL of the event log: redis://, postgres://, nats://, kafka://; else events.db."
)
_STORES = _option("--stores", default="", help="postgres://: database instead of the files.")
_PORT = _option("--port", default=8000, help="Port; 0: a free one.")
_BOOKS = _option("--notebooks", type=click.Path(path_type=Path), help="Folder of the notebooks, if not the usual.")
_CHALLENGERS = _option("--challengers", default="", help="Models that learn in shadow: rls,forest.")
_PUBLISH = _option(
    "--publish",
    type=click.Choice(["learner", "gate", "recommend", "always", "never"]),
    default="learner",
    help="What serves: the learner; or frozen versions: those better in shadow, the same once approved, all, none.",
)
_USE_CASE = _option("--use-case", default="crypto", type=Text("crypto"), help="crypto, fraud ... or path/to/file.py.")
_SOURCE = (
    _option("--source", default="", help="kraken, a file, synthetic, http, kafka://...; the use case's own if empty."),
    _USE_CASE,
    _option("--symbols", default="", help="Keys that are asked for, comma separated; all of the source if empty."),
    _option("--inputs", default="", help="Symbols that are only read beside them, comma separated."),
    _option("--backfill", default="1h", help="How much of an exchange's past comes first: 30m, 1d."),
    _option("--speed", default=1.0, help="60 plays an hour of a recording in a minute; 0: at once."),
    _option("--hours", default=24.0, help="Length of a synthetic stream, in hours."),
    _option("--record", default="", help="File for everything an exchange sends; a source itself later."),
    _option("--client-options", default="{}", help="Options of an exchange's client, as JSON."),
)

VERBS = (
    Verb(
        "run",
        "rtml.pipeline.runner:run_notebooks",
        "Run the notebooks and write the report. RUN is named after the use case unless given; dev for the demo.",
        "rtml run mine --source ETH-USD=eth.csv -p SEED=3",
        _run(""),
        _option("-p", "given", multiple=True, metavar="KEY=VALUE", help="A parameter of a notebook; repeatable."),
        _option("--params", default="", help="Several parameters in one text: KEY=VALUE KEY='a b'."),
        _option("--use-case", default="", help="A built-in use case, module:attribute or file.py:attribute."),
        _option("--source", default="", help="The parameter SOURCE: a file, SYMBOL=FILE, synthetic ..."),
        _option("--symbols", default="", help="The parameter SYMBOLS: keys, comma separated."),
        _option("--profile", default="demo", type=Text("demo"), help="A profile of profiles.yml."),
        _option("--only", default="", help="One notebook, by its number such as 03."),
        _BOOKS,
    ),
    Verb(
        "train",
        "rtml.pipeline.train:train",
        "Train a run on its event log.",
        "rtml train apart --follow --every 1h",
        _run(),
        *(_FOLLOW, _EVERY, _PUBLISH, _CHALLENGERS, _MODEL, _LOG, _STORES),
    ),
    Verb(
        "serve",
        "rtml.pipeline.serve:serve",
        "Serve the champion of a run over HTTP.",
        "rtml serve dev --port 8001 --grpc 9000",
        _run(),
        _option("--follow", is_flag=True, help="Follow what ingest and training processes write there."),
        _option("--workers", default=1, help="Processes on the port, each follows; SIGHUP replaces them one by one."),
        _option("--grpc", default=-1, help="Port of the same over gRPC; 0: a free one, -1: none."),
        _option("--listen", default=-1, hidden=True, help="Of one of several processes."),
        _option("--counts", default="", hidden=True, help="Of one of several processes."),
        *(_PORT, _HOST, _STORES),
    ),
    Verb(
        "route",
        "rtml.pipeline.route:route",
        "Say which versions of a run answer whom. Without KIND what is in force; the endpoint follows within a second.",
        'rtml route dev canary --arm crypto@3=0.05 --steps 0.2,0.5 --who ada --why "better in shadow"',
        _run(None),
        click.Argument(["kind"], type=click.Choice(["ab", "canary", "bandit", "next", "stop"]), required=False),
        _option("--arm", "arms", multiple=True, metavar="VERSION=SHARE", help="Such as crypto@3=0.05; repeatable."),
        _option("--coverage", type=float, help="Share of the units that take part, above 0 and at most 1."),
        _option("--by", type=click.Choice(["unit", "key"]), help="What of a request says which arm answers."),
        _option("--steps", default="", help="Further shares of a canary, such as 0.2,0.5."),
        _option("--after", type=int, help="Units that a canary answers before its next step."),
        _option("--policy", type=click.Choice(["thompson", "ucb", "exp3-ix"]), help="How a bandit chooses the arm."),
        _option("--promote/--advise", default=None, help="Promote what is better, or leave it to a person."),
        _option("--who", default="", help="Who decided it, for the ledger."),
        _option("--why", default="", help="The reason, for the ledger."),
    ),
    Verb(
        "batch",
        "rtml.pipeline.batch:batch",
        "Store one prediction for each key. What serves predicts, for whoever looks it up later; see online.db.",
        "rtml batch fraud --ttl 12h",
        _run(),
        _option("--ttl", default="1d", help="Age from which on a prediction is stale, such as 12h or 1d."),
    ),
    Verb(
        "live",
        "rtml.pipeline.live:live",
        "Follow a source, learn and serve. One process; the same command goes on where it stopped. RUN is live unless "
        "given.",
        "rtml live try --source synthetic --speed 60 --hours 3",
        _run("live"),
        *(*_SOURCE, _EVERY, _PUBLISH, _CHALLENGERS, _HOST, _LOG, _STORES),
        _option("--from", "behind", default="", type=RunName(), help="A finished run to go on from, copied."),
        _option("--port", default=8000, help="Port; 0: a free one, -1: none."),
        _option("--seconds", default=0.0, help="Seconds to follow the stream; 0: no end."),
        _option("--once", is_flag=True, help="End with the recording, serve no longer."),
    ),
    Verb(
        "ingest",
        "rtml.sources.ingest:follow",
        "Write a source into the log of a run.",
        'rtml ingest shop --use-case fraud --source "kafka://broker:9092/payments"',
        *(_run(None), *_SOURCE, _LOG),
    ),
    Verb(
        "inspect",
        "rtml.sources.profile:inspect",
        "Show how the columns of a file are read.",
        """rtml inspect eth.csv --columns '{"time": "T", "price": "p"}'""",
        click.Argument(["file"]),
        _option("--columns", default="{}", help='Names of the file\'s columns, as JSON: {"time": "T", "price": "p"}.'),
        _option("--symbols", default="", help="Keys to read, comma separated; all if empty."),
        _option("--bar", default="", help="Length of the bars that are to be made of it, such as 10s or 1m."),
        _USE_CASE,
    ),
    Verb(
        "materialize",
        "rtml.store.materialize:materialize",
        "Store the features of a run as a table.",
        "rtml materialize dev --follow",
        *(_run(), _FOLLOW),
    ),
    Verb(
        "check",
        "rtml.evaluation.skew:checked",
        "Check a run for training-serving skew. Every served prediction's features are compared with those the event "
        "log gives; exit code 1 where they differ.",
        "rtml check dev --strict",
        _run(),
        _option("--strict", is_flag=True, help="Features that no question of the log has count as differing."),
    ),
    Verb(
        "verify",
        "rtml.pipeline.verify:verify",
        "Verify that every file and row of a run is what was written. Exit code 1 where one is not.",
        "rtml verify dev",
        _run(),
    ),
    Verb(
        "advise",
        "rtml.evaluation.advisor:advise_run",
        "Compare ways to train on a run. For each: loss, samples, CPU, staleness.",
        "rtml advise dev --target sign --few",
        _run(),
        _option("--target", default="", help="Target to learn; the served one unless given."),
        _option("--model", default="", help="Model of the catalogue; the run's own unless given."),
        _option("--jobs", default=0, help="Processes; 0: one per core where that pays."),
        _option("--backend", default="loky", help="Backend of joblib: loky, threading or ray."),
        _option("--few", is_flag=True, help="The few settings that differ most, instead of some thirty."),
    ),
    Verb(
        "schedule",
        "rtml.pipeline.scheduler:schedule",
        "Carry out jobs of a run at set times. Missed ones are caught up once; schedule.json says what was done.",
        'rtml schedule dev --job "1h materialize" --job "1d check"',
        _run(),
        _option("--job", multiple=True, help="Interval and command such as '1d check'; repeatable. The usual if none."),
        _option("--clock", default="wall", type=click.Choice(["wall", "event"]), help="Whose time decides."),
        _option("--once", is_flag=True, help="Carry out what is due, and end."),
    ),
    Verb(
        "retention",
        "rtml.pipeline.scheduler:retention",
        "Drop what can be made again. States of old versions that never served, replaced files of feature tables.",
        "rtml retention dev --keep 5",
        _run(),
        _option("--keep", default=20, help="How many of the newest versions keep their states in any case."),
    ),
    Verb(
        "rebuild",
        "rtml.training.rebuild:rebuild_run",
        "Build a version again from the log. VERSION is such as crypto@3; the bytes are compared.",
        "rtml rebuild dev crypto@3",
        *(_run(None), click.Argument(["version"])),
    ),
    Verb(
        "reproduce",
        "rtml.integrations.reproduce:reproduce",
        "Load a version in a fresh environment. Of its own code and lock; the predictions are compared.",
        "rtml reproduce dev crypto@3",
        *(_run(None), click.Argument(["version"])),
        _option("--folder", default="", help="Where to build it; build/reproduce/<id> unless given."),
    ),
    Verb(
        "explain",
        "rtml.serving.explain:show",
        "Explain a served prediction. PREDICTION is its id, such as 1-17; exit code 1 where the log gives another.",
        "rtml explain dev 1-17",
        *(_run(None), click.Argument(["prediction"])),
    ),
    Verb(
        "export",
        "rtml.integrations.edge:export_version",
        "Write a version as one file for a device. It goes on learning there. VERSION is such as crypto@3.",
        "rtml export dev crypto@3 --to javascript --out model.js",
        *(_run(None), click.Argument(["version"])),
        _option("--to", default="python", type=click.Choice(["python", "javascript", "micropython"]), help="Language."),
        _option("--out", default="", help="File; - is standard output. Named after the version unless given."),
        _option("--target", default="", help="Which of its models; the first unless given."),
    ),
    Verb(
        "import",
        "rtml.integrations.edge:import_state",
        "Make what a device has learned a version. FILE is its state in JSON, VERSION the one it was exported from.",
        "rtml import dev crypto@3 state.json --at 2026-05-01T12:00Z",
        *(_run(None), click.Argument(["version"]), click.Argument(["file"])),
        _option("--at", default="", help="Event time of the state: 2026-05-01T12:00Z; the parent's if empty."),
    ),
    Verb(
        "mirror",
        "rtml.integrations.mlflow:mirror",
        "Copy promoted versions to MLflow, whose server is at URL.",
        "rtml mirror dev http://localhost:5000",
        *(_run(None), click.Argument(["url"]), _MODEL),
    ),
    Verb(
        "alerts",
        "rtml.integrations.alerts:alerts",
        "Send a run's new alerts out. To a webhook, to Slack (slack+https://...) or by mail (smtp://host?to=a@b).",
        "rtml alerts dev --to https://example.org/hook --least 0.5",
        _run(),
        _option("--to", required=True, help="Where to: https://..., slack+https://... or smtp://host?to=a@b."),
        _option("--least", default=0.0, help="Least harm of an alert that is sent, in units of the usual error."),
        _option("--an-hour", default=20, help="Largest number of messages an hour."),
    ),
    Verb(
        "sink",
        "rtml.integrations.sink:sink",
        "Send a run's predictions and alerts out. To kafka://HOST:9092/TOPIC, postgres://...?table=NAME or file:///...",
        "rtml sink dev --to file:///srv/out --follow",
        *(_run(), _FOLLOW, _option("--to", required=True, help="Address; done again it goes on behind what was sent.")),
    ),
    Verb("report", "rtml.pipeline.report:rewrite", "Write the report of a run again.", "rtml report dev", _run()),
    Verb(
        "runs",
        "rtml.pipeline.runs:show",
        "List runs, or compare those named. The list has the headline metrics; NAMES are shown side by side.",
        'rtml runs --where "auc > 0.6" --sort auc',
        click.Argument(["names"], nargs=-1, type=RunName()),
        _option("--where", default="", help="Condition on the columns, such as 'auc > 0.6'."),
        _option("--sort", default="", help="Column to sort by, largest first; -NAME: smallest first."),
    ),
    Verb(
        "compare",
        "rtml.pipeline.runs:compare",
        "Compare two runs. What differs, all metrics, and which lost less on the questions both were asked.",
        "rtml compare dev mine",
        click.Argument(["first"], type=RunName()),
        click.Argument(["second"], type=RunName()),
    ),
    Verb(
        "notebooks",
        "rtml.pipeline.runner:store_notebooks",
        "Run notebooks in place. With their defaults; the outputs are stored. All unless NAMES are given.",
        "rtml notebooks 03_backtest_progressive_eval",
        *(click.Argument(["names"], nargs=-1), _BOOKS),
    ),
    Verb(
        "lab",
        "rtml.pipeline.lab:lab",
        "Open JupyterLab on copies of the notebooks. They are in lab/; the tracked ones stay clean.",
        "rtml lab --no-browser --port 8889",
        click.Argument(["options"], nargs=-1, type=click.UNPROCESSED),
    ),
)


class Verbs(click.Group):
    """The verbs, listed in the order of a run's life."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(self.commands)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="rtml")
def rtml() -> None:
    """Real-time machine learning in notebooks: a model that keeps learning while it serves.

    RUN is the name of a run or its folder; latest is the newest one that finished. Completion in bash: eval
    "$(_RTML_COMPLETE=bash_source rtml)", likewise in zsh and fish.
    """


for _verb in VERBS:
    if find_spec(_verb.module):
        rtml.add_command(_verb)
