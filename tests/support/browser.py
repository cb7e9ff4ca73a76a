"""A headless Chromium driven over its DevTools protocol: what a page shows, and what it asked of the network."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import websocket

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    "--remote-debugging-port=0",
)
PATIENCE_S = 60  # a limit for a broken page, never reached by a slow machine


class Browser:
    """One Chromium with one page; use it in a ``with`` block."""

    def __init__(self, folder: Path) -> None:
        sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # it refuses root with one
        command = [CHROMIUM, *FLAGS, *sandbox, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._ids, self.events = itertools.count(1), []
        try:
            port_file = folder / "DevToolsActivePort"
            port = self._until(lambda: port_file.exists() and port_file.read_text().partition("\n")[0])
            pages = self._until(lambda: [p for p in self._targets(port) if p["type"] == "page"])
            self._line = websocket.create_connection(
                pages[0]["webSocketDebuggerUrl"], timeout=PATIENCE_S, suppress_origin=True
            )
        except BaseException:
            self._end()
            raise
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *exc: object) -> None:
        self._line.close()
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()

    @staticmethod
    def _targets(port: str) -> list[dict]:
        return httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()

    @staticmethod
    def _until(found):
        deadline = time.monotonic() + PATIENCE_S
        while not (value := found()):
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.05)
        return value

    def call(self, method: str, **params):
        """Call a method of the protocol and wait for its result; events that come before are kept."""
        id = next(self._ids)
        self._line.send(json.dumps({"id": id, "method": method, "params": params}))
        while True:
            message = json.loads(self._line.recv())
            if message.get("id") == id:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def open(self, url: str, width: int = 1366, height: int = 768, scheme: str = "light") -> None:
        """Show a page in a window of this size, dark or light."""
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=url)

    def value(self, script: str, **where):
        """Value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, **where)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self, id: str) -> str:
        """Text of an element."""
        return self.value(f"document.getElementById({id!r})?.textContent")

    def wait(self, script: str) -> None:
        """Wait until an expression is true in the page."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.value(_true(script)):
            shown = self.value("document.body?.innerText")
            assert time.monotonic() < deadline, f"never came true: {script}; the page says: {shown}"
            time.sleep(0.05)

    def frame(self, holds: str) -> Callable[[str], None]:
        """A :meth:`wait` inside the frame of the page in which an expression is true."""
        found = []

        def looked() -> bool:
            contexts = [e["params"]["context"] for e in self.events if e["method"] == "Runtime.executionContextCreated"]
            for context in contexts:
                where = {"uniqueContextId": context["uniqueId"]}
                try:
                    found[:] = [where] if self.value(_true(holds), **where) else []
                except AssertionError:  # that frame has gone
                    continue
                if found:
                    return True
            return False

        self._until(looked)
        return lambda script: self._until(lambda: self.value(_true(script), **found[0]))

    def screenshot(self) -> bytes:
        """What the window shows, PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def asked(self) -> list[str]:
        """Addresses that were asked for since the page was opened."""
        self.value("1")  # what has come meanwhile is read
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[str]:
        """Errors of scripts and of the page's policy since it was opened."""
        self.value("1")
        failed = [str(e["params"]) for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        entries = [e["params"]["entry"] for e in self.events if e["method"] == "Log.entryAdded"]
        return failed + [e["text"] for e in entries if e["level"] == "error" and e["source"] != "network"]


def _true(script: str) -> str:
    """The expression, false where the page is not there yet."""
    return f"(() => {{ try {{ return !!({script}) }} catch {{ return false }} }})()"
