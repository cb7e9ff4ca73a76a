"""The live page in headless Chromium: what it says in each state, and that it comes back after a restart."""

from __future__ import annotations

import re
from contextlib import closing

import pytest
from browser import CHROMIUM, Browser

from rtml.core.clock import span
from rtml.serving.app import make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.service import Service
from rtml.serving.snapshot import Snapshot

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
START = 1_700_000_000_000
SCORE = dict(r2_zero=0.031, mae=1.2, mae_zero=1.3, hit_rate=0.58, answered=190, asked=200, coverage=0.95)
BAR = dict(symbol="ETH-USD", volume=3.5, n=12, empty=False, complete=True, version="champion@7", y_bp=1.5, score=SCORE)
TOLD = dict(prediction_bp=1.25, low_bp=-2.0, high_bp=4.5, p_up=0.61, predicted_bp=0.5, lag_s=0.4, latency_ms=0.8)
LAPTOP, PHONE = dict(width=1366, height=768), dict(width=390, height=844)


class Even:
    """A model that expects no change."""

    def predict(self, x) -> float:
        return 0.0


def bar(i: int) -> dict:
    prices = dict(open=2000.0 + i % 7, high=2009.0, low=1999.0, close=2001.0 + i % 5)
    return dict(end=START + i * 10_000, **prices, **BAR, **TOLD)


def tell(service: Service, state: str, bars=range(0), message: str = "", alarms=(), **more) -> None:
    for i in bars:
        service.stream.publish(START + i * 10_000, "bar", bar(i))
    about = dict(source="kraken", version="champion@7", since=START, trained_up_to=START + 5000)
    service.stream.publish(START, "status", dict(state=state, message=message, alarms=list(alarms), **about, **more))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def service():
    with closing(Service()) as service:
        service.publish(Snapshot("champion@7", Even(), ("a",), ("ETH-USD",), "ETH-USD", span("10s"), 0))
        yield service


@pytest.fixture
def url(service):
    with Endpoint(make_app(service)) as endpoint:
        yield endpoint.url


def says(browser: Browser, word: str) -> None:
    browser.wait(f"document.getElementById('state')?.textContent === {word!r}")


def test_it_shows_the_market_the_prediction_and_the_score_and_asks_this_machine_alone(browser, service, url):
    tell(service, "live", range(200))
    browser.open(url, **LAPTOP)
    says(browser, "Live")
    browser.wait("document.getElementById('candles').dataset.bars > 100")
    shown = {
        id: browser.text(id) for id in ("symbol", "expected", "interval", "up", "r2", "coverage", "lag", "version")
    }
    assert shown == {
        "symbol": "ETH-USD",
        "expected": "+1.25 bp",
        "interval": "−2.0 to +4.5 bp",
        "up": "61 %",
        "r2": "+3.10 %",
        "coverage": "95.0 %",
        "lag": "400 ms",
        "version": "champion@7",
    }
    assert browser.text("since") == "2023-11-14 22:13:20"
    assert browser.value("document.querySelectorAll('#candles rect').length") > 100
    assert browser.value("document.querySelectorAll('#r2s path').length") == 1
    assert browser.value("document.querySelectorAll('#maes path').length") == 2
    asked = browser.asked()
    assert asked and not [address for address in asked if not address.startswith((url, "data:"))], asked
    assert browser.complaints() == []


def test_a_bar_that_closes_is_shown_at_once(browser, service, url):
    tell(service, "live", range(30))
    browser.open(url)
    browser.wait(f"document.getElementById('candles').dataset.end == {START + 29 * 10_000}")
    tell(service, "live", [30])
    browser.wait(f"document.getElementById('candles').dataset.end == {START + 30 * 10_000}")


def test_starting_is_told(browser, service, url):
    browser.open(url)
    says(browser, "Serving")
    assert "start make live to see a market" in browser.text("notice")
    tell(service, "starting", message="connecting to kraken")
    browser.wait("document.getElementById('notice').textContent.includes('Connecting to kraken.')")
    says(browser, "Starting")
    assert browser.text("close") == "–" and "No bar has closed yet" in browser.text("candles")


def test_a_lost_source_is_told_with_its_alarms_and_forgotten_once_it_is_back(browser, service, url):
    tell(service, "live", range(40))
    browser.open(url)
    says(browser, "Live")
    tell(service, "reconnecting", message="connection closed, attempt 3", alarms=["silent for <b>12 s</b>"])
    says(browser, "Source lost")
    assert "nothing is predicted until it is back. Connection closed, attempt 3." in browser.text("notice")
    assert browser.text("alarms") == "silent for <b>12 s</b>", "text of others is shown, never run"
    assert browser.text("count") == "1 alarm" and browser.value("document.querySelector('svg.old') !== null")
    tell(service, "live", [40])
    says(browser, "Live")
    assert browser.value("document.getElementById('notice').hidden && document.getElementById('count').hidden")


def test_what_serves_and_what_happened_is_told_as_text_whatever_others_wrote(browser, service, url):
    evil = "<img src=x onerror=document.title='taken'><b>errors doubled</b>"
    numbers = dict(gain=0.42, gain_low=0.13, gain_high=0.72, share=0.037, answers=381, evidence=845.0, needed=768.0)
    about = dict(version="champion@7", at=START - 60_000, before="champion@5", learned="log:events@11-20", held=evil)
    acts = [
        ("rolled back", "<i>ada</i>", "champion@7", evil),
        ("alert", "", "", evil),
        ("promoted", "gate", "c@5", "x"),
    ]
    happened = [dict(at=START - i, what=w, by=by, version=v, why=y) for i, (w, by, v, y) in enumerate(acts)]
    tell(service, "live", range(5), serving=about | numbers | dict(by="gate", why=evil), happened=happened)
    browser.open(url)
    browser.wait("document.querySelectorAll('#happened li').length === 3")
    assert browser.text("why") == evil and browser.text("held") == f"The gate waits: {evil}."
    assert browser.text("since") == "2023-11-14 22:12:20", "event time of the ledger"
    assert browser.text("better") == "Loses 3.7 % less than champion@5 on the same 381 questions"
    assert browser.text("sure") == "Evidence 845 : 1, 768 : 1 was needed; gain a question 0.42, between 0.13 and 0.72"
    assert browser.text("learned") == "events 11 to 20 of the log, on top of its parents"
    said = browser.value(
        "[...document.querySelectorAll('#happened li')].map(li => [...li.children].map(e => e.textContent))"
    )
    assert said[0] == ["2023-11-14 22:13:20", "Rolled back by <i>ada</i>", f"champion@7: {evil}"]
    assert [one[1:] for one in said[1:]] == [["Alert", evil], ["Promoted by the gate", "c@5: x"]]
    assert not browser.value("document.querySelector('#happened img, #happened i, dl img, #held img') !== null")
    assert "taken" not in browser.value("document.title") and browser.complaints() == []


def test_it_is_live_again_after_a_restart_with_what_it_missed(browser, service):
    tell(service, "live", range(40))
    with Endpoint(make_app(service)) as endpoint:
        browser.open(endpoint.url)
        says(browser, "Live")
    says(browser, "No answer")
    assert "What you see ends at 22:19:50" in browser.text("notice")
    port = int(endpoint.url.rsplit(":", 1)[1])
    with closing(Service()) as another, Endpoint(make_app(another), port=port):
        tell(another, "live", range(35, 45))
        says(browser, "Live")
        browser.wait(f"document.getElementById('candles').dataset.end == {START + 44 * 10_000}")
        assert browser.value("document.getElementById('candles').dataset.bars") == "45", "those seen before stay"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_it_fits_and_can_be_read_on_a_laptop_and_a_phone_dark_and_light(browser, service, url, size, scheme):
    tell(service, "reconnecting", range(200), "connection closed", ["a long alarm " * 12])
    browser.open(url, **size, scheme=scheme)
    browser.wait("document.getElementById('candles').dataset.bars > 20")
    assert browser.value("document.documentElement.scrollWidth") <= size["width"], "it scrolls sideways"
    small = "[...document.querySelectorAll('main *')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length"
    assert browser.value(small) == 0, "text smaller than 12 px"
    ends = "[...document.querySelectorAll('svg text')].filter(t => t.getBoundingClientRect().right > innerWidth).length"
    assert browser.value(ends) == 0, "a label is cut off"
    ink, paper = (luminance(browser.value(f"getComputedStyle(document.body).{it}")) for it in ("color", "background"))
    assert (ink > paper) == (scheme == "dark") and (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 7
    assert browser.screenshot().startswith(b"\x89PNG")


def luminance(color: str) -> float:
    """Relative luminance of ``rgb(...)``, as the rules for contrast define it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
