"""Alerts sent out: to a webhook, to Slack or whatever takes its JSON, or by mail: ``rtml alerts RUN --to URL``."""

from __future__ import annotations

import json
import os
import smtplib
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from rtml.core.clock import Clock, utc
from rtml.core.run_folder import Run
from rtml.store.checkpoint_store import CheckpointReader

_FILE = "alerts_sent.json"
_REFUSED = "alerts_refused.jsonl"
_AGAIN = (429, 500, 502, 503, 504)  # answers after which it is worth trying again
_TIMEOUT_S = 10.0


class Undeliverable(ConnectionError):
    """An address that refuses a message for good: sending it again does not help.

    Examples
    --------
    >>> raise Undeliverable("404: no such channel")
    Traceback (most recent call last):
        ...
    rtml.integrations.alerts.Undeliverable: 404: no such channel
    """


class Sender:
    """Sends messages to one address, tries again where that helps, and sends no more than so many an hour.

    Parameters
    ----------
    to
        ``https://...`` gets the alert as JSON; ``slack+https://...`` gets ``{"text": ...}``; a mail goes by
        ``smtp://host:port?to=a@b&from=c@d``, with the password of ``RTML_SMTP_PASSWORD`` where there is a user.
    an_hour
        Most messages in an hour; those beyond are held back and said by number in the next one.
    tries, pause_s
        How often a message is tried, and the first pause between two tries, which doubles.

    Examples
    --------
    >>> Sender("ftp://host")
    Traceback (most recent call last):
        ...
    ValueError: alerts go to http://, https://, slack+https:// or smtp://host?to=..., got 'ftp://host'
    """

    def __init__(
        self,
        to: str,
        *,
        an_hour: int = 20,
        tries: int = 4,
        pause_s: float = 1.0,
        clock: Clock | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._slack = to.startswith("slack+")
        self._to, self._parts = to.removeprefix("slack+"), urlsplit(to.removeprefix("slack+"))
        if self._parts.scheme not in ("http", "https", "smtp") or not self._parts.hostname:
            raise ValueError(f"alerts go to http://, https://, slack+https:// or smtp://host?to=..., got {to!r}")
        if self._parts.scheme == "smtp" and "to" not in parse_qs(self._parts.query):
            raise ValueError(f"a mail needs an address: smtp://host:port?to=a@b, got {to!r}")
        self._most, self._tries, self._pause_s = an_hour, tries, pause_s
        self._clock, self._wait = clock or Clock(), wait
        self.times = deque[int]()  #: when the messages of the last hour were sent, ns UTC
        self.held = 0  #: messages held back since the last one that was sent

    def send(self, text: str, about: dict) -> bool:
        """Send a message; False where it was held back by the limit.

        Raises
        ------
        Undeliverable
            Where the address refuses this message.
        ConnectionError
            Where it could not be delivered now, with the last reason.
        """
        now = self._clock.now()
        while self.times and self.times[0] <= now - 3600 * 10**9:
            self.times.popleft()
        if len(self.times) >= self._most:
            self.held += 1
            return False
        more = f" ({self.held} more were held back)" if self.held else ""
        self._deliver(text + more, about)
        self.times.append(now)
        self.held = 0
        return True

    def _deliver(self, text: str, about: dict) -> None:
        why = ""
        for attempt in range(self._tries):
            if attempt:
                self._wait(self._pause_s * 2 ** (attempt - 1))
            try:
                return self._mail(text, about) if self._parts.scheme == "smtp" else self._post(text, about)
            except HTTPError as ex:
                why = f"{ex.code} {ex.reason}"
                if ex.code not in _AGAIN:
                    raise Undeliverable(f"an alert could not be sent to {self._parts.hostname}: {why}") from ex
            except (URLError, OSError) as ex:
                why = str(ex)
        raise ConnectionError(f"an alert could not be sent to {self._parts.hostname}: {why}")

    def _post(self, text: str, about: dict) -> None:
        body = {"text": text} if self._slack else {"text": text, "alert": about}
        request = Request(self._to, json.dumps(body).encode(), {"content-type": "application/json"})
        with urlopen(request, timeout=_TIMEOUT_S):
            pass

    def _mail(self, text: str, about: dict) -> None:
        query, message = parse_qs(self._parts.query), EmailMessage()
        message["Subject"], message["To"] = f"rtml: {text[:70]}", ", ".join(query["to"])
        message["From"] = query.get("from", ["rtml@localhost"])[0]
        message.set_content(f"{text}\n\n{json.dumps(about, indent=1)}\n")
        with smtplib.SMTP(self._parts.hostname or "", self._parts.port or 25, timeout=_TIMEOUT_S) as server:
            if self._parts.username:
                server.starttls()
                server.login(self._parts.username, os.environ["RTML_SMTP_PASSWORD"])
            server.send_message(message)


def alerts(run: Path, *, to: str, least: float = 0.0, an_hour: int = 20) -> int:
    """Send the alerts of a run that were not sent yet; done again, it sends what is new since.

    Parameters
    ----------
    run
        Folder of the run.
    to
        See :class:`Sender`.
    least
        Least harm of an alert that is sent, in units of the usual error.
    an_hour
        Most messages in an hour.

    Examples
    --------
    >>> alerts(Path("/no/run"), to="ftp://host")
    Traceback (most recent call last):
        ...
    ValueError: alerts go to http://, https://, slack+https:// or smtp://host?to=..., got 'ftp://host'
    """
    print(f"{send_new(run, Sender(to, an_hour=an_hour), to, least)} alerts sent")
    return 0


def send_new(run: Path, sender: Sender, to: str, least: float = 0.0) -> int:
    """The same with a sender; how many were sent. One that could not be sent now is the first of the next time.

    What the address refuses for good goes to ``alerts_refused.jsonl`` of the run, so that later ones are not held up.

    Examples
    --------
    >>> send_new(Path("/no/run"), Sender("https://host/hook"), "https://host/hook")
    Traceback (most recent call last):
        ...
    FileNotFoundError: /no/run/training.db is missing: start rtml train RUN --follow
    """
    opened = Run(run, "alerts")
    kept = opened.read_json(_FILE, {"sent": {}})["sent"]
    before = kept.get(to, {"seq": 0, "times": [], "held": 0})
    sender.times.extend(before["times"])
    sender.held, count = before["held"], 0
    with closing(CheckpointReader(run / "training.db")) as reader:
        events = reader.history(before["seq"])
    for seq, at, _, _, kind, told in events:
        detail = json.loads(told)
        if kind == "alert" and (detail.get("what") == "loss" or (detail.get("harm") or 0.0) >= least):
            text = f"{run.name}, {utc(at).isoformat(timespec='seconds')}: {detail.get('text') or detail.get('what')}"
            about = {"run": run.name, "at": utc(at).isoformat(), **detail}
            try:
                count += sender.send(text, about)
            except Undeliverable as ex:
                with opened.path(_REFUSED).open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"why": str(ex), "text": text, "alert": about}) + "\n")
        kept[to] = {"seq": seq, "times": list(sender.times), "held": sender.held}
        opened.write_json(_FILE, {"sent": kept})
    return count
