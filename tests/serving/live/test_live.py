"""The live loop: goes on where it was however it ended, says what fails, stops when told, in one process or three."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from command_line import carry_out
from following import SYMBOLS, market, wait_for
from hypothesis import given
from hypothesis import strategies as st
from workers import Workers, die_at_line

from rtml.pipeline.options import SourceOptions
from rtml.registry.registry import Registry
from rtml.serving.live.session import Live
from rtml.sources.ingestor import Ingestor, alone
from rtml.store.checkpoint_store import CheckpointReader
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART
from rtml.usecases.crypto.exchange.exchange import Exchange
from rtml.usecases.crypto.exchange.timeouts import Timeouts
from rtml.usecases.crypto.schema import TRADES, frame, judged

DEEP = os.environ.get("RTML_DEEP") == "1"
LINE_KILLS, CLOCK_KILLS = (30, 20) if DEEP else (5, 3)
HOURS = 1.0
REPLAY = ("--source", "synthetic", "--hours", str(HOURS), "--speed", "0", "--port", "-1", "--every", "3m", "--once")
WANTED = SourceOptions("synthetic", speed=0.0, hours=HOURS)


def live(folder: str, line: int = 0, *parts: str) -> None:
    """Run the command on a folder, in a worker, to its end or to its death at some line."""
    if line:
        die_at_line(line, *parts)
        threading.settrace(sys.gettrace())  # the intake's thread too
    carry_out("live", folder, *REPLAY)


def result(folder: Path) -> dict:
    """All that a live run leaves: events, questions and predictions, the state of the model, every version."""
    with EventLog(folder / "events.db") as log:
        events = log.read(PART, 0, 10**6)[1].tobytes()
        refused = log.rejected(PART)["row"].tolist()
    reading = CheckpointReader(folder / "training.db")
    asked = {"questions": reading.questions(0, 10**6), "answers": reading.answers(0, 10**6)}
    asked["closed"] = reading.closed(0, 10**6)
    state = reading._db.execute("select offset, state from progress").fetchone()
    reading.close()
    registry = Registry(folder / "registry")
    versions = registry.versions("crypto")["id"].tolist()
    final = registry.load(versions[-1]) if versions else b""
    registry.close()
    about = {"events": events, "refused": refused, "state": state, "versions": versions, "final": final}
    return about | asked


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted run leaves."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with Live(folder, WANTED, every="3m", port=None, out=lambda line: None) as session:
        session.run(threading.Event(), once=True)
    return result(folder)


@pytest.fixture(scope="module")
def workers():
    with Workers(__file__) as pool:
        yield pool


def check_same(folder: Path, whole: dict) -> None:
    """A run left what the uninterrupted one left, byte for byte."""
    got = result(folder)
    for name, want in whole.items():
        assert got[name] == want, f"{name} differ"
    assert len(whole["questions"]) > 200 and len(whole["versions"]) > 10 and whole["refused"]


def test_killed_at_random_lines_and_started_again_it_leaves_the_same(workers, whole, tmp_path):
    rng, folder, killed, finished = random.Random(7), tmp_path / "run", 0, 0
    while killed < LINE_KILLS:
        part = rng.choice(
            [(), ("training", "store"), ("serving/live", "sources/ingestor", "store/event_log"), ("registry", "store")]
        )
        code = workers.run("live", str(folder), int(10 ** rng.uniform(2.0, 4.2)), *part)
        assert code in (0, -signal.SIGKILL), "it failed instead of being killed"
        killed += code != 0
        if code == 0:  # it came to its end: once more from nothing
            check_same(folder, whole)
            finished, folder = finished + 1, tmp_path / f"run{finished + 1}"
    assert workers.run("live", str(folder)) == 0
    check_same(folder, whole)


def test_killed_by_the_clock_and_started_again_it_leaves_the_same(workers, whole, tmp_path):
    rng, folder, killed, finished = random.Random(11), tmp_path / "run", 0, 0
    while killed < CLOCK_KILLS:
        worker = workers.start("live", str(folder))
        time.sleep(rng.uniform(0.05, 0.6))
        code = workers.kill(worker)
        assert code in (0, -signal.SIGKILL), "it failed instead of being killed"
        killed += code != 0
        if code == 0:  # it came to its end: once more from nothing
            check_same(folder, whole)
            finished, folder = finished + 1, tmp_path / f"run{finished + 1}"
    assert workers.run("live", str(folder)) == 0
    check_same(folder, whole)


class Broken:
    """A recording that breaks off before each of its chunks, some of whose rows break the schema."""

    name, symbols, rows, schema = "broken", ("ETH-USD", "BTC-USD"), 0, TRADES

    def __init__(self) -> None:
        times = 1_700_000_000 * 10**9 + np.arange(5000) * 10**9
        self._row = [("ETH-USD", "trade", int(at), -5.0 if i % 7 else 9.5, 1.0, "buy", i) for i, at in enumerate(times)]
        self._begun = 0

    def chunks(self, n: int = 50_000):
        """Chunks up to one more than the time before, then an error."""
        self._begun += 1
        for k, first in enumerate(range(0, len(self._row), n)):
            if k == self._begun:
                raise ConnectionError("the line is cut")
            yield frame([(*row, None, None) for row in self._row[first : first + n]])


class Line:
    """A live source that breaks off after every tenth trade and goes on behind what is held already."""

    name, symbols, schema = "line", ("ETH-USD", "BTC-USD"), TRADES

    def __init__(self) -> None:
        self.after: list[dict] = []

    def open(self, after: dict) -> "Line":
        """Opened behind the newest trade of each symbol."""
        self.after.append(after)
        return self

    def arrivals(self):
        """Ten trades of either symbol, the ids of each counted on, then an error; 40 in all."""
        held = [self.after[-1].get(symbol, (-1, 0))[0] + 1 for symbol in self.symbols]
        for i in range(min(10, 40 - held[0])):
            pairs = zip(self.symbols, [id + i for id in held], strict=True)
            yield [(s, "trade", 10**18 + id * 10**9, 9.5, 1.0, "buy", id, None, None) for s, id in pairs], 0
        if held[0] < 40 and len(self.after) < 9:
            raise ConnectionError("the line is cut")

    def stop(self) -> None:
        """Ends by itself."""


class Hurried(Ingestor):
    """An intake that does not pause before it tries again."""

    def _wait(self, error: Exception, pause: float) -> None:
        super()._wait(error, 0.0)


def taken_in(folder: Path, opens) -> tuple[np.ndarray, list[int], list[str]]:
    """The events logged of a source, the ids refused, and what was said."""
    said = []
    with EventLog(folder / "events.db") as log:
        ingestor = Hurried(opens, log, PART, Broken.symbols, on_event=lambda event, **about: said.append(event))
        ingestor.run()
        refused = [json.loads(row)["id"] for row in log.rejected(PART)["row"]]
        return log.read(PART, 0, 10**6)[1], refused, said


def test_a_recording_that_breaks_is_opened_again_behind_what_was_logged_or_refused(tmp_path):
    source = Broken()
    rows, refused, said = taken_in(tmp_path, lambda after: source)
    sound = [i for i in range(5000) if i % 7 == 0]
    assert rows["id"].tolist() == sound and sorted([*refused, *sound]) == list(range(5000)), "missing or twice"
    assert "rows rejected" in said
    said = [word for word in said if word != "rows rejected"]
    assert said == ["source opened", "source failed"] * 2 + ["source opened", "source over"]


def test_a_live_source_that_breaks_is_opened_again_behind_the_newest_trade_of_each_symbol(tmp_path):
    line = Line()
    rows, _, said = taken_in(tmp_path, line.open)
    for key in (0, 1):
        assert rows["id"][rows["key"] == key].tolist() == list(range(40)), "missing or twice"
    newest = [(n, 10**18 + n * 10**9) for n in (9, 19, 29, 39)]
    assert line.after == [{}] + [dict.fromkeys(line.symbols, at) for at in newest]
    assert said == ["source opened", "source failed"] * 4 + ["source opened", "source over"]


def test_a_second_process_is_kept_out_until_the_first_is_done(tmp_path):
    with alone(tmp_path, "ingest"), pytest.raises(RuntimeError, match="another process does the ingest in"):
        alone(tmp_path, "ingest").__enter__()
    with alone(tmp_path, "ingest"):
        pass


def test_a_source_that_cannot_be_had_ends_with_its_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        carry_out("live", tmp_path / "run", "--source", "nowhere.csv", "--port", "-1")
    assert ended.value.code == 1 and "no recording 'nowhere.csv'" in capsys.readouterr().err


def test_a_folder_that_follows_something_else_is_refused(tmp_path, capsys):
    live(str(tmp_path / "run"))
    with pytest.raises(SystemExit):
        carry_out("live", tmp_path / "run", "--source", "synthetic", "--hours", "2", "--port", "-1")
    assert "follows synthetic:sudden:seed=7:hours=1, not synthetic:sudden:seed=7:hours=2" in capsys.readouterr().err


def get(url: str):
    return httpx.get(url, timeout=10).json()


def test_training_that_fails_leaves_serving_up_and_goes_on(whole, tmp_path):
    def status():
        return get(f"{session.url}/questions")["status"] or {"alarms": []}

    with Live(tmp_path / "run", WANTED, every="3m", out=lambda line: None) as session:
        push, stop = session.trainer._flow.push, threading.Event()
        failing = {"left": 2, "from": 3000}

        def broken(rows, told):
            if session.trainer._offset >= failing["from"] and failing["left"]:
                failing["left"] -= 1
                raise FloatingPointError("out of luck")
            return push(rows, told)

        session.trainer._flow.push = broken
        thread = threading.Thread(target=session.run, args=(stop,), kwargs={"once": True}, daemon=True)
        thread.start()
        wait_for(lambda: any("training failed" in alarm for alarm in status()["alarms"]), "the failure said")
        assert get(f"{session.url}/health")["ready"] and get(f"{session.url}/predict?key=ETH-USD")["version"]
        thread.join(60)
        assert not thread.is_alive() and not failing["left"]
    check_same(tmp_path / "run", whole)
    events = [json.loads(line)["event"] for line in (tmp_path / "run" / "live.log").read_text().splitlines()]
    assert events.count("training failed") == 2 and "training goes on" in events and events[-1] == "stopped"


def test_the_page_is_told_every_question_with_its_prediction_and_answer_and_again_after_a_restart(whole, tmp_path):
    said = []
    for _ in range(2):
        with Live(tmp_path / "run", WANTED, every="3m", out=lambda line: None) as session:
            session.run(threading.Event(), once=True)
            said.append(json.loads(session.service.stream.questions()))
            assert get(f"{session.url}/questions")["status"]["state"] == "stopped"
    told, again = said
    keys, y = ("ETH-USD", "BTC-USD"), {(a.id, a.target): a.y for a in whole["answers"]}
    assert [(q["at"] * 10**6, q["key"]) for q in told] == [(a.moment, keys[a.key]) for a in whole["questions"]]
    assert [q["predictions"]["return"]["value"] for q in told] == [a.predictions["return"] for a in whole["questions"]]
    by_moment = {(q["at"] * 10**6, q["key"]): q["answers"] for q in told}
    for one in whole["answers"]:
        if one.y is not None and (answers := by_moment.get((one.known, keys[one.key]))):
            assert answers[one.target] == {"y": y[one.id, one.target], "predicted": one.prediction}
    for now, then in zip(told, again, strict=True):
        assert now == then, "told otherwise from the store than as it happened"
    last = told[-1]
    first = last["predictions"]["return"]
    assert first["low"] < first["value"] < first["high"] and 0 < last["predictions"]["sign"]["probability"] < 1
    assert last["closed"]["close"] == last["extra"]["close"] > 0 and last["latency_ms"] is None


ROWS = st.tuples(
    st.sampled_from(["ETH/USD", "BTC/USD", "X/Y"]),
    st.sampled_from(["trade", "tick"]),
    st.sampled_from([0, 1, 10**18, 2**63 - 1, -5]),
    st.sampled_from([None, 0.0, 1.5, float("nan"), float("inf")]),
    st.sampled_from([None, 0.0, 2.0, -1.0, float("nan")]),
    st.sampled_from([None, "buy", "sell", "up"]),
    st.sampled_from([-1, 0, 7, 2**62]),
    st.none(),
    st.none(),
)


@given(st.lists(ROWS, min_size=1, max_size=5))
def test_the_short_way_of_a_row_into_the_log_is_the_schema(rows):
    accepted, rejected = TRADES.accept(frame(rows), SYMBOLS)
    short, refused = judged(rows, SYMBOLS)
    assert short.tobytes() == accepted.tobytes()
    assert len(rejected) == (0 if refused is None else len(refused))


def test_a_recording_keeps_its_pace_and_its_arrivals_are_measured(tmp_path):
    with Live(
        tmp_path / "run", SourceOptions("synthetic", speed=600.0, hours=12.0), every="3m", out=lambda _: None
    ) as session:
        session.run(threading.Event(), seconds=2.0)
        told = json.loads(session.service.stream.questions())
        metrics = httpx.get(f"{session.url}/metrics").text
    assert 20 < len(told) < 8000, "neither a crawl nor all 8,640 at once"
    assert all(question["latency_ms"] > 0 for question in told)
    assert float(re.search(r"rtml_event_to_prediction_seconds_count (\S+)", metrics)[1]) == len(told)


def start(*arguments: str, home: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "rtml", *arguments]
    environment = os.environ | {"RTML_HOME": str(home)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_it_stops_cleanly_when_told(tmp_path):
    process = start("live", "--source", "synthetic", "--hours", "1", "--speed", "60", "--port", "0", home=tmp_path)
    starting, *lines = [process.stdout.readline() for _ in range(4)]
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert starting == "rtml live: starting\n"
    assert "http://127.0.0.1:" in lines[0] and "events |" in lines[1] and rest.splitlines()[-1].startswith("stopped |")
    log = (tmp_path / "runs" / "live" / "live.log").read_text().splitlines()
    assert json.loads(log[-1])["event"] == "stopped"


def apart(*arguments: str) -> None:
    """Run another command of the package, in a worker."""
    carry_out(*arguments)


def test_three_processes_with_only_stores_between_them(workers, whole, tmp_path):
    folder = tmp_path / "apart"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url, market_of = f"http://127.0.0.1:{port}", ("--source", "synthetic", "--hours", str(HOURS), "--speed")
    commands = {
        "serving": ("serve", str(folder), "--follow", "--port", str(port)),
        "training": ("train", str(folder), "--follow", "--every", "3m"),
        "ingest": ("ingest", str(folder), *market_of, "600"),
    }
    running = {name: workers.start("apart", *command) for name, command in commands.items()}
    wait_for(lambda: ready(url), "it serves")
    for name in ("training", "ingest"):
        workers.kill(running[name])
        assert httpx.get(f"{url}/predict?key=ETH-USD").json()["version"] == "crypto@learner"
        running[name] = workers.start("apart", *commands[name][:-1], "0" if name == "ingest" else "3m")
    ends = [one.moment // 10**6 for one in whole["questions"]]
    wait_for(lambda: [q["at"] for q in get(f"{url}/questions?n=1")["questions"]] == ends[-1:], "all caught up", 60)
    told = get(f"{url}/questions?n=1000")["questions"]
    for name in ("serving", "training"):
        os.kill(running[name], signal.SIGTERM)
    assert [workers.wait(running[name]) for name in running] == [0, 0, 0]
    said = [(q["at"], q["predictions"]["return"]["value"]) for q in told]
    assert said == [(one.moment // 10**6, one.predictions["return"]) for one in whole["questions"]]
    check_same(folder, whole)


def ready(url: str) -> bool:
    """Whether an endpoint is up and can predict."""
    try:
        return get(f"{url}/health")["ready"]
    except httpx.TransportError:
        return False


def test_a_live_exchange_end_to_end_with_a_restart_and_its_recording_gives_the_same(tmp_path):
    record = str(tmp_path / "kraken.log")
    with market(seconds=1200, rate=10, speed=10.0, past=60) as exchange:
        source_options = SourceOptions(
            "kraken", SYMBOLS, backfill="30s", record=record, client_options=exchange.client_options
        )
        for part in range(2):
            stop = threading.Event()
            with Live(tmp_path / "run", source_options, every="20s", out=lambda line: None) as session:
                thread = threading.Thread(target=session.run, args=(stop,), daemon=True)
                thread.start()
                wait_for(lambda n=3 + 2 * part, s=session: s.publisher.questions >= n and s.url, "bars")
                if part:
                    wait_for(lambda s=session: get(f"{s.url}/health")["ready"], "it serves")
                stop.set()
                thread.join(30)
                assert not thread.is_alive()
    with EventLog(tmp_path / "run" / "events.db") as log:
        rows = log.read(PART, 0, 10**6)[1]
    for key, tape in enumerate(exchange.feed.tapes.values()):
        own = rows[(rows["kind"] == 0) & (rows["key"] == key)]
        assert len(own) > 100 and (np.diff(own["id"]) == 1).all(), "missing or double over the restart"
        assert (own["price"] == tape.price[own["id"] - tape.id[0]]).all()
    with Live(
        tmp_path / "again", SourceOptions(record, speed=0.0), every="20s", port=None, out=lambda line: None
    ) as session:
        session.run(threading.Event(), once=True)
    live, again = result(tmp_path / "run"), result(tmp_path / "again")
    assert len(live["questions"]) > 4 and again["events"] == live["events"] and again["versions"] != []
    assert [again[name] == live[name] for name in ("questions", "answers", "closed")] == [True] * 3, "it is another"


def test_only_what_an_exchange_sends_is_recorded(tmp_path, capsys):
    with pytest.raises(SystemExit):
        carry_out("live", tmp_path / "run", "--source", "synthetic", "--record", "x.log", "--port", "-1")
    assert "only what an exchange sends is recorded, and synthetic" in capsys.readouterr().err


def test_a_restart_while_the_network_is_down_tries_again_and_a_wrong_source_still_ends(tmp_path):
    hurried = Timeouts(dead=1.0, answer=2.0, start=0.5, longest=0.1)
    with market(seconds=600, rate=20, speed=1.0, past=30) as exchange, EventLog(tmp_path / "events.db") as log:

        def opens(symbols, after):
            options = {"client_options": exchange.client_options, "timeouts": hurried}
            return Exchange("kraken", symbols, backfill="10s", after=after, **options)

        def ingestor(symbols=SYMBOLS):
            taking = Hurried(lambda after: opens(symbols, after), log, PART, symbols)
            taking.start()
            return taking

        exchange.fail(10**6, abort=True)
        never = ingestor()
        wait_for(lambda: never.failure, "one that was never there ends")
        assert "could not be had within 0.5 s" in str(never.failure)
        exchange.faults.clear()
        first = ingestor()
        wait_for(lambda: first.state == "live" and log.last(PART) > 20, "live")
        first.stop()
        exchange.fail(10**6, abort=True)
        again, held = ingestor(), log.last(PART)
        wait_for(lambda: again.state == "reconnecting", "the state says it")
        wait_for(lambda: again.restarts >= 2, "another try")
        assert again.failure is None and again.state == "reconnecting" and "could not be had" in again.problem
        exchange.faults.clear()
        wait_for(lambda: again.state == "live" and log.last(PART) > held, "live again")
        again.stop()
        exchange.fail(10**6, status=451, body="restricted location")
        blocked = ingestor()
        wait_for(lambda: blocked.failure, "it ends")
        assert "does not serve this place (HTTP 451)" in str(blocked.failure)
        exchange.faults.clear()
        wrong = ingestor(("ETH/USX",))
        wait_for(lambda: wrong.failure, "it ends")
        assert "kraken has no symbol ETH/USX; near to it: ETH/USD" in str(wrong.failure)


def test_another_host_than_this_machine_needs_the_token_and_so_do_changes(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("RTML_TOKEN", raising=False)
    where = [tmp_path / "run", *REPLAY[:6], "--port", "0", "--host", "0.0.0.0"]
    with pytest.raises(SystemExit):
        carry_out("live", *where)
    assert "host '0.0.0.0' can be reached from other machines" in capsys.readouterr().err
    assert not (tmp_path / "run").exists(), "nothing is begun"
    monkeypatch.setenv("RTML_TOKEN", "a-secret-of-the-house")
    with Live(tmp_path / "run", WANTED, every="3m", host="0.0.0.0", out=lambda line: None) as session:
        session.run(threading.Event(), once=True)
        url, asked = session.url.replace("0.0.0.0", "127.0.0.1"), {"version": "crypto@2", "who": "me", "why": "try"}
        assert httpx.post(f"{url}/promote", json=asked).status_code == 401
        bearer = {"Authorization": "Bearer a-secret-of-the-house"}
        assert httpx.post(f"{url}/promote", json=asked, headers=bearer).json() == {"serving": "crypto@2"}


def test_promotions_and_rollbacks_while_it_is_live_serve_from_the_next_question_on(tmp_path):
    def served(name: str) -> bool:
        return get(f"{session.url}/predict?key=ETH-USD")["version"] == name

    def change(what: str, **about) -> str:
        reply = httpx.post(f"{session.url}/{what}", json=about | {"who": "me", "why": "to see it"}, timeout=10)
        return reply.json()["serving"]

    stop, source_options = threading.Event(), SourceOptions("synthetic", speed=600.0, hours=24.0)
    with Live(tmp_path / "run", source_options, every="10m", out=lambda _: None) as session:
        thread = threading.Thread(target=session.run, args=(stop,), daemon=True)
        thread.start()
        wait_for(lambda: len(session.registry.all("crypto")) > 1, "two versions")
        assert served("crypto@learner"), "the learner serves, whatever versions there are"
        assert change("promote", version="crypto@1") == "crypto@1"
        wait_for(lambda: served("crypto@1"), "the version that was promoted serves")
        assert change("rollback") == "crypto@learner"
        wait_for(lambda: served("crypto@learner"), "the learner serves again")
        assert change("promote", version="crypto@2") == "crypto@2" and change("promote", version="crypto@learner")
        wait_for(lambda: served("crypto@learner"), "the learner was promoted")
        asked = {"version": "crypto@99", "who": "me", "why": "to see it fail"}
        missing = httpx.post(f"{session.url}/promote", json=asked, timeout=10)
        assert missing.status_code == 404 and "no version 'crypto@99'" in missing.json()["error"]
        stop.set()
        thread.join(30)
        ledger = session.registry.ledger("crypto")
        assert ledger["action"].tolist() == ["promote", "promote", "rollback", "promote", "promote"]
        assert ledger["number"].tolist() == [0, 1, 0, 2, 0] and ledger["by"].tolist()[:2] == ["run", "me"]
        assert not thread.is_alive()
        scores = session.publisher.scores.as_dict()
        assert scores["frozen"]["return"]["answered"] > 0 and set(scores) == {"served", "learner", "frozen", "baseline"}
