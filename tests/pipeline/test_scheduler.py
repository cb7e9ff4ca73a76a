"""Jobs at their ticks: missed ones caught up once, failures kept apart, and nothing lost when it is killed."""

import json
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from command_line import command
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import trained

from rtml.core.clock import ManualClock, span, utc
from rtml.core.process import alone
from rtml.pipeline.scheduler import Job, Scheduler, newest_event, schedule
from rtml.pipeline.status import data_range
from rtml.registry.registry import Registry

ROOT = Path(__file__).parents[2]
HOURLY, DAILY = Job.of("1h check"), Job.of("1d report")


def scheduler(folder, clock, done, jobs=(HOURLY, DAILY)):
    return Scheduler(folder, jobs, clock.now, lambda job: done.append(job.name))


def test_a_job_is_carried_out_once_a_tick_and_missed_ticks_are_caught_up_once(tmp_path):
    clock, done = ManualClock(span("10d")), []
    one = scheduler(tmp_path, clock, done)
    one.run()
    assert done == ["check", "report"] and one.run() == [], "both were due, and are not due again"
    clock.advance(span("59m"))
    assert one.run() == []
    clock.advance(span("1m"))
    one.run()
    assert done == ["check", "report", "check"]
    clock.advance(span("5h") + span("30m"))
    (said,) = scheduler(tmp_path, clock, done).run()  # another process, which was started much later
    assert done[3:] == ["check"] and said.endswith("1970-01-11T06:00:00+00:00, 4 ticks before it were missed")
    kept = json.loads((tmp_path / "schedule.json").read_text())["jobs"]["check"]
    assert (kept["times"], kept["missed"], kept["state"]) == (3, 4, "done")


@settings(max_examples=30)
@given(moves=st.lists(st.integers(0, 400), max_size=20), restarts=st.sets(st.integers(0, 20)))
def test_however_time_passes_a_tick_is_carried_out_or_counted_as_missed(tmp_path_factory, moves, restarts):
    folder, clock, done = tmp_path_factory.mktemp("schedule"), ManualClock(span("10d")), []
    one = scheduler(folder, clock, done, [HOURLY])
    one.run()
    for step, minutes in enumerate(moves):
        clock.advance(minutes * span("1m"))
        if step in restarts:
            one = scheduler(folder, clock, done, [HOURLY])
        one.run()
    passed = 1 + sum(moves) // 60
    assert len(done) + one.done["check"]["missed"] == passed and len(done) == one.done["check"]["times"]


def test_a_job_that_fails_says_why_and_is_tried_again_at_its_next_tick_while_others_go_on(tmp_path):
    clock, tried = ManualClock(span("10d")), []

    def carry_out(job):
        tried.append(job.name)
        if job is HOURLY and len(tried) < 3:
            raise OSError("disk full")

    one = Scheduler(tmp_path, [HOURLY, DAILY], clock.now, carry_out)
    said = sorted(one.run())
    assert said[0].startswith("check: failed for") and said[0].endswith(": disk full") and "report: done" in said[1]
    assert one.run() == []
    clock.advance(span("1h"))
    assert "check: done" in one.run()[0] and one.done["check"]["times"] == 2


KILLED = """
import sys, time
from pathlib import Path
from rtml.core.clock import ManualClock, span
from rtml.pipeline.scheduler import Job, Scheduler
folder = Path(sys.argv[1])
def carry_out(job):
    with (folder / "done.txt").open("a") as file:
        file.write(job.name + "\\n")
    if job.name == "report" and len(sys.argv) == 2:
        print("in the job", flush=True)
        time.sleep(60)
jobs = [Job.of("1h check"), Job.of("2h report"), Job.of("3h retention")]
clock = ManualClock(span("10d"))
Scheduler(folder, jobs, clock.now, carry_out).run()
"""


def test_killed_in_a_job_it_does_that_one_again_and_the_finished_ones_not(tmp_path):
    words = [sys.executable, "-c", KILLED, str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout.readline() == "in the job\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / "done.txt").read_text().split() == ["check", "report"]
    subprocess.run([*words, "go on"], check=True, cwd=ROOT)
    subprocess.run([*words, "go on"], check=True, cwd=ROOT)
    assert (tmp_path / "done.txt").read_text().split() == ["check", "report", "report", "retention"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run that was trained and is of the state done."""
    folder = tmp_path_factory.mktemp("runs") / "short"
    trained(folder, {"return": "rls"})
    (folder / "status.json").write_text(json.dumps({"state": "done", "run": "short", "notebooks": {}}))
    return folder


def test_the_jobs_of_a_run_are_its_own_commands_on_the_time_of_its_events(run, capsys):
    jobs = ["10m materialize", "1d report", "1h retention --keep 1"]
    assert command("schedule", str(run), "--clock", "event", "--once", *(w for j in jobs for w in ("--job", j))) == 0
    kept = json.loads((run / "schedule.json").read_text())["jobs"]
    assert {name: one["state"] for name, one in kept.items()} == dict.fromkeys(
        ("materialize", "report", "retention --keep 1"), "done"
    )
    assert kept["materialize"]["at"] == utc(newest_event(run) - newest_event(run) % span("10m")).isoformat()
    assert data_range(run)["last"][:15] == kept["materialize"]["at"][:15]
    said = capsys.readouterr().out
    assert "rows stored" in said and (run / "report.html").exists() and list((run / "features").glob("*/_delta_log"))
    with closing(Registry(run / "registry")) as registry:
        versions = registry.all("crypto")
        assert [registry.kept(version) for version in versions] == [False] * (len(versions) - 1) + [True]
    assert schedule(run, job=jobs, clock="event", once=True) == 0 and capsys.readouterr().out == "", "no event came"


def test_a_command_that_fails_is_in_the_exit_code_and_a_second_scheduler_is_kept_out(run, capsys):
    assert schedule(run, job=["1h rebuild"], clock="event", once=True) == 1
    assert "rebuild: failed" in capsys.readouterr().out
    with (
        alone(run / ".schedule.lock", "taken"),
        pytest.raises(RuntimeError, match="another scheduler is at work in"),
    ):
        schedule(run, once=True)
    with pytest.raises(ValueError, match="a job is an interval and a command such as '1d check', got '1d'"):
        Job.of("1d")
    with pytest.raises(ValueError, match="two jobs are the same command: check, check"):
        scheduler(run, ManualClock(), [], [HOURLY, HOURLY])
