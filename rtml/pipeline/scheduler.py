"""Jobs of a run at set times, by the wall clock or by event time; what was missed is caught up once: ``rtml schedule``.

A tick is a multiple of a job's interval. The tick that was carried out last is on disk before the next one begins, so
a scheduler that was killed goes on where it was: a job that it was killed in is carried out again, none twice in one
tick, and of all the ticks that passed while it was down one is carried out, with the number of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rtml.core.clock import Clock, span, utc
from rtml.core.process import alone, stopping
from rtml.core.run_folder import Run, shown

JOBS = ("10m materialize", "1d check", "1d report", "1d retention", "7d advise --few")  #: unless others are given
_FILE = "schedule.json"
_PAUSE_S = 1.0  # between two looks at what is due


@dataclass(frozen=True)
class Job:
    """A command of ``rtml`` without its run, such as ``advise --few``, and the interval at which it is carried out.

    Examples
    --------
    >>> job = Job.of("1d check --few")
    >>> job.name, job.every // 10**9
    ('check --few', 86400)
    >>> Job.of("1d")
    Traceback (most recent call last):
    ValueError: a job is an interval and a command such as '1d check', got '1d'
    """

    words: tuple[str, ...]
    every: int  # ns

    @classmethod
    def of(cls, text: str) -> Job:
        """Job of an interval and a command.

        Examples
        --------
        >>> Job.of("1d advise --few")
        Job(words=('advise', '--few'), every=86400000000000)
        """
        interval, *words = text.split()
        if not words:
            raise ValueError(f"a job is an interval and a command such as '1d check', got {text!r}")
        return cls(tuple(words), span(interval))

    @property
    def name(self) -> str:
        """The command as it is typed."""
        return " ".join(self.words)


class Scheduler:
    """Carries out jobs when they are due, and keeps in ``schedule.json`` of the run what was done.

    Parameters
    ----------
    folder
        Of the run.
    jobs
        What to do how often.
    now
        The moment, ns: of the wall clock or of the stream.
    carry_out
        Does a job; raises where it fails. A job that failed is tried again at its next tick.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> done = []
    >>> with TemporaryDirectory() as folder:
    ...     scheduler = Scheduler(Path(folder), [Job.of("1h check")], lambda: span("90m"), done.append)
    ...     report = scheduler.run()
    >>> done[0].name
    'check'
    """

    def __init__(
        self, folder: Path, jobs: Sequence[Job], now: Callable[[], int], carry_out: Callable[[Job], None]
    ) -> None:
        if len({job.name for job in jobs}) < len(jobs):
            raise ValueError(f"two jobs are the same command: {', '.join(job.name for job in jobs)}")
        self._run = Run(folder, "schedule")
        self._jobs = tuple(jobs)
        self._now = now
        self._carry_out = carry_out
        self.done: dict[str, dict] = self._run.read_json(_FILE, {"jobs": {}})["jobs"]

    def due(self) -> list[tuple[Job, int, int]]:
        """Jobs whose tick has come, with the tick (ns) and how many before it were missed; the oldest tick first."""
        found, now = [], self._now()
        for job in self._jobs:
            tick, last = now - now % job.every, self.done.get(job.name, {}).get("tick", -1)
            if tick > last:
                found.append((job, tick, (tick - last) // job.every - 1 if last >= 0 else 0))
        return sorted(found, key=lambda one: one[1])

    def run(self) -> list[str]:
        """Carry out what is due, each once; a sentence about each."""
        return [self._one(*one) for one in self.due()]

    def _one(self, job: Job, tick: int, missed: int) -> str:
        before = self.done.get(job.name, {})
        clock = Clock()
        error = ""
        start = clock.elapsed()
        try:
            self._carry_out(job)
        except Exception as ex:  # whatever a job dies of, the others go on
            error = str(ex) or type(ex).__name__
        counts = {"times": before.get("times", 0) + 1, "missed": before.get("missed", 0) + missed}
        about = {"tick": tick, "at": utc(tick).isoformat(), "state": "failed" if error else "done", "error": error}
        self.done[job.name] = about | counts | {"seconds": round((clock.elapsed() - start) / 1e9, 3)}
        self._run.write_json(_FILE, {"jobs": self.done})
        late = f", {missed} ticks before it were missed" if missed else ""
        return f"{job.name}: {about['state']} for {about['at']}{late}" + (f": {error}" if error else "")


def schedule(run: Path, *, job: Sequence[str] = (), clock: str = "wall", once: bool = False) -> int:
    """Carry out the jobs of a run whenever they are due, until Ctrl-C or SIGTERM.

    Parameters
    ----------
    run
        Folder of the run.
    job
        An interval and a command each, such as "1d check"; :data:`JOBS` unless given.
    clock
        "wall", or "event": the time of the newest event of the run's log.
    once
        Carry out what is due now, and end; the exit code says whether all went well.
    """
    jobs = [Job.of(text) for text in job or JOBS]
    now = Clock().now if clock == "wall" else lambda: newest_event(run)
    scheduler = Scheduler(run, jobs, now, lambda one: command(one, run))
    taken = f"another scheduler is at work in {shown(run)}: stop it first"
    with alone(run / ".schedule.lock", taken), stopping() as stop:
        while True:
            for sentence in scheduler.run():
                print(sentence, flush=True)
            if once or stop.wait(_PAUSE_S):
                break
    return int(once and any(scheduler.done[one.name]["state"] == "failed" for one in jobs))


def newest_event(run: Path) -> int:
    """Time of the event of a run that was logged last, ns."""
    from rtml.store.protocols import run_log
    from rtml.training.retention import newest
    from rtml.training.run_config import PART

    with run_log(run) as log:
        return newest(log, PART)


def command(job: Job, run: Path) -> None:
    """Carry out a command of ``rtml`` in this process; raises where it ends with an exit code."""
    from rtml.pipeline.commands import rtml

    verb, *options = job.words
    try:
        code = rtml.main([verb, str(run), *options], prog_name="rtml", standalone_mode=False)
    except SystemExit as ex:
        code = ex.code
    if code:
        raise RuntimeError(f"rtml {job.name} ended with exit code {code}: see above")


def retention(run: Path, *, keep: int = 20) -> int:
    """Drop what can be made again: states of old versions that never served, files that a table has replaced.

    Parameters
    ----------
    run
        Folder of the run.
    keep
        How many of the newest versions keep their states in any case.
    """
    from rtml.registry.registry import Registry
    from rtml.store.offline import FeatureTable

    gone = 0
    if (run / "registry").exists():
        with closing(Registry(run / "registry")) as registry:
            gone = sum(len(registry.collect(model, keep)) for model in registry.models())
    tables = [path.parent for path in (run / "features").glob("*/_delta_log")]
    files = sum(FeatureTable(path).vacuum(keep_hours=7 * 24).files for path in tables)
    print(f"{gone} states of versions dropped (rtml rebuild makes them again), {files} replaced files removed")
    return 0
