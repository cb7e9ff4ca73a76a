"""Alerts leave the machine: as JSON, as Slack's, as a mail; tried again, never too many, each once."""

import json
import socketserver
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rtml.core.clock import ManualClock, span
from rtml.integrations.alerts import Sender, alerts, send_new
from rtml.store.checkpoint_store import CheckpointStore

ALERT = {"what": "loss", "harm": 0.5, "text": "y: the loss rose", "number": 1}


@contextmanager
def server(made):
    """A server on a thread of its own."""
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()
        thread.join(5)


@contextmanager
def hook(*statuses):
    """A webhook that answers with these, then with 200; its url, and the bodies that came."""
    left, bodies = list(statuses), []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(left.pop(0) if left else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with server(HTTPServer(("127.0.0.1", 0), Hook)) as made:
        yield f"http://127.0.0.1:{made.server_port}/hook", bodies


@contextmanager
def mailbox():
    """A mail server that takes everything; its port, and the lines that came."""
    lines = []

    class Mail(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 here\r\n")
            data = False
            for raw in self.rfile:
                line = raw.decode().rstrip("\r\n")
                lines.append(line)
                if data and line != ".":
                    continue
                data = line.upper() == "DATA"
                self.wfile.write({"DATA": b"354 go on\r\n", "QUIT": b"221 bye\r\n"}.get(line.upper(), b"250 ok\r\n"))

    with server(socketserver.TCPServer(("127.0.0.1", 0), Mail)) as made:
        yield made.server_address[1], lines


def test_a_webhook_gets_the_alert_and_slack_its_text():
    with hook() as (url, bodies):
        assert Sender(url).send("the loss rose", {"harm": 0.5}) and Sender(f"slack+{url}").send("hello", {"harm": 1})
    assert bodies == [{"text": "the loss rose", "alert": {"harm": 0.5}}, {"text": "hello"}]


def test_a_mail_has_the_text_and_the_whole_alert():
    with mailbox() as (port, lines):
        assert Sender(f"smtp://127.0.0.1:{port}?to=ada@example.org&from=rtml@example.org").send(
            "loss rose", {"harm": 0.5}
        )
    assert "Subject: rtml: loss rose" in lines and "To: ada@example.org" in lines and '"harm": 0.5' in "\n".join(lines)


def test_what_fails_for_now_is_tried_again_with_longer_pauses_and_what_is_refused_is_not():
    waited = []
    with hook(503, 500) as (url, bodies):
        assert Sender(url, pause_s=2.0, wait=waited.append).send("x", {}) and len(bodies) == 3
    assert waited == [2.0, 4.0]
    with hook(404) as (url, bodies):
        with pytest.raises(ConnectionError, match=r"could not be sent to 127.0.0.1: 404"):
            Sender(url, wait=waited.append).send("x", {})
        assert len(bodies) == 1
    with pytest.raises(ConnectionError, match="could not be sent"):
        Sender("http://127.0.0.1:9/", tries=2, wait=waited.append).send("x", {})


def test_no_more_than_so_many_an_hour_are_sent_and_the_next_one_says_how_many_were_held_back():
    clock = ManualClock()
    with hook() as (url, bodies):
        sender = Sender(url, an_hour=2, clock=clock)
        assert [sender.send(str(i), {}) for i in range(5)] == [True, True, False, False, False]
        clock.advance(span("1h"))
        assert sender.send("later", {})
    assert [body["text"] for body in bodies] == ["0", "1", "later (3 more were held back)"]


@pytest.fixture
def run(tmp_path):
    """A run whose training said two alerts, one of which does no harm, and something else."""
    with closing(CheckpointStore(tmp_path / "training.db", {})) as store:
        store.begin(0, b"")
        said = [ALERT, ALERT | {"what": "features", "harm": 0.01, "number": 2, "text": "x moved"}]
        rows = [(10**18 + i, 1, "monitor", "alert", json.dumps(one)) for i, one in enumerate(said)]
        rows.append((10**18 + 5, 0, "trainer", "version", json.dumps({"version": "y@1"})))
        store.commit(1, b"", asked=[], answered=[], questions=[], new_events=rows)
    return tmp_path


def test_each_alert_of_a_run_is_sent_once_however_often_it_is_asked(run, capsys):
    with hook() as (url, bodies):
        assert alerts(run, to=url, least=0.1) == 0 and alerts(run, to=url, least=0.1) == 0
        assert capsys.readouterr().out == "1 alerts sent\n0 alerts sent\n"
        assert len(bodies) == 1 and bodies[0]["text"].endswith("2001-09-09T01:46:40+00:00: y: the loss rose")
        assert send_new(run, Sender(f"slack+{url}"), f"slack+{url}") == 2, "another address has its own place"


def test_one_that_could_not_be_sent_is_sent_the_next_time(run):
    with hook(500, 500) as (url, bodies):
        with pytest.raises(ConnectionError):
            send_new(run, Sender(url, tries=2, wait=lambda s: None), url)
        assert send_new(run, Sender(url), url) == 2
    assert [body["alert"]["number"] for body in bodies] == [1, 1, 1, 2]


def test_an_address_that_is_none_is_refused():
    for wrong in ("ftp://host", "ada@example.org", "slack+smtp", "https://"):
        with pytest.raises(ValueError, match="alerts go to http://, https://"):
            Sender(wrong)
    with pytest.raises(ValueError, match="a mail needs an address"):
        Sender("smtp://host")


def test_an_alert_that_is_refused_for_good_is_kept_in_a_file_and_holds_up_no_other(run):
    with hook(404) as (url, bodies):
        sender = Sender(url, tries=2, wait=lambda s: None)
        assert send_new(run, sender, url, 0.0) == 1 and len(bodies) == 2, "the second one was sent"
        assert send_new(run, sender, url, 0.0) == 0 and len(bodies) == 2
    (line,) = (run / "alerts_refused.jsonl").read_text().splitlines()
    kept = json.loads(line)
    assert (
        "404" in kept["why"] and kept["alert"]["number"] == 1 and bodies[0] == {k: kept[k] for k in ("text", "alert")}
    )
