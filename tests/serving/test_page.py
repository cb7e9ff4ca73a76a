"""The live page in headless Chromium: what it says in each state, and that it comes back after a restart."""

from __future__ import annotations

import re
from contextlib import closing

import httpx
import numpy as np
import pytest
from browser import CHROMIUM, Browser
from published import HORIZON, Even, snapshot
from routed import several

from rtml.serving.app import make_app
from rtml.serving.auth import Access
from rtml.serving.endpoint import Endpoint
from rtml.serving.promotions import Promotions
from rtml.serving.quality import FeatureQuality
from rtml.serving.schemas import Headline, PredictRequest
from rtml.serving.service import Service
from rtml.serving.view import view_of
from rtml.training.run_config import RunConfig

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
START = 1_700_000_000_000
SCORE = dict(
    target="return",
    metric="r2_zero",
    value=0.031,
    text="return r2_zero 0.0310",
    answered=1190,
    asked=1200,
    against="no change",
)
TOLD = {"return": dict(value=1.25, unit="bp", low=-2.0, high=4.5), "rise": dict(probability=0.61)}
SECRET = "a-secret-of-the-house"
LAPTOP, PHONE = dict(width=1366, height=768), dict(width=390, height=844)


def question(i: int, key: str = "ETH-USD") -> dict:
    prices = dict(open=2000.0 + i % 7, high=2009.0, low=1999.0, close=2001.0 + i % 5, volume=3.5, n=12)
    about = dict(at=START + i * 10_000, key=key, version="crypto@learner", predictions=TOLD, score=SCORE, baseline=0.0)
    about |= dict(answers={"return": dict(y=1.5, predicted=0.5)}, lag_s=0.4, latency_ms=0.8)
    return about | dict(closed=prices | dict(empty=False, complete=True), extra=dict(close=2001.0, price=2001.25))


def tell(service: Service, state: str, asked=range(0), message: str = "", alarms=(), **more) -> None:
    for i in asked:
        service.stream.publish(START + i * 10_000, "question", question(i))
    about = dict(source="kraken", version="crypto@learner", since=START, trained_up_to=START + 5000, headline=SCORE)
    about |= dict(question="Where is the price of ETH-USD in 10s?", scores={"served": {"return": dict(r2_zero=0.031)}})
    service.stream.publish(START, "status", dict(state=state, message=message, alarms=list(alarms), **about) | more)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def service():
    with closing(Service()) as service:
        service.publish(snapshot(model=Even(), horizon=HORIZON))
        yield service


def app_of(service: Service, use_case: str = "crypto"):
    return make_app(service, view=view_of(RunConfig.of(use_case, ())))


@pytest.fixture
def url(service):
    with Endpoint(app_of(service)) as endpoint:
        yield endpoint.url


def says(browser: Browser, word: str) -> None:
    browser.wait(f"document.getElementById('state')?.textContent === {word!r}")


def test_it_shows_the_market_the_prediction_and_the_score_and_asks_this_machine_alone(browser, service, url):
    tell(service, "live", range(200))
    browser.open(url, **LAPTOP)
    says(browser, "Live")
    browser.wait("document.getElementById('panel').dataset.bars > 100")
    tiles = "Object.fromEntries([...document.querySelectorAll('.tile')].map(t => [t.id, t.children[1].textContent]))"
    assert browser.value(tiles) == {
        "tile-return": "+1.25 bp",
        "tile-rise": "61 %",
        "tile-close": "2001.0",
        "tile-price": "2001.3",
        "tile-score": "0.0310",
        "tile-lag": "400 ms",
    }
    assert browser.value("document.getElementById('tile-return').children[2].textContent") == "−2.0 to +4.5 bp"
    assert browser.text("title") == "ETH-USD" and browser.text("version") == "crypto@learner"
    assert "r2 zero 0.0310" in browser.text("table")
    assert browser.text("since") == "2023-11-14 22:13:20"
    assert browser.value("document.querySelectorAll('#panel rect').length") > 100
    assert browser.value("document.querySelectorAll('#scores path').length") == 2
    asked = browser.asked()
    assert asked and not [address for address in asked if not address.startswith((url, "data:"))], asked
    assert browser.complaints() == []


def test_a_question_is_shown_at_once(browser, service, url):
    tell(service, "live", range(30))
    browser.open(url)
    browser.wait(f"document.getElementById('panel').dataset.end == {START + 29 * 10_000}")
    tell(service, "live", [30])
    browser.wait(f"document.getElementById('panel').dataset.end == {START + 30 * 10_000}")


def test_starting_is_told(browser, service, url):
    browser.open(url)
    says(browser, "Serving")
    assert "start make live to see one" in browser.text("notice")
    tell(service, "starting", message="connecting to kraken")
    browser.wait("document.getElementById('notice').textContent.includes('Connecting to kraken.')")
    says(browser, "Starting")
    assert "Nothing was asked yet" in browser.text("panel")


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
    about = dict(version="crypto@7", at=START - 60_000, before="crypto@5", learned="log:events@11-20", held=evil)
    acts = [
        ("rolled back", "<i>ada</i>", "crypto@7", evil),
        ("alert", "", "", evil),
        ("promoted", "gate", "c@5", "x"),
    ]
    happened = [dict(at=START - i, what=w, by=by, version=v, why=y) for i, (w, by, v, y) in enumerate(acts)]
    tell(service, "live", range(5), serving=about | numbers | dict(by="gate", why=evil), happened=happened)
    browser.open(url)
    browser.wait("document.querySelectorAll('#happened li').length === 3")
    assert browser.text("why") == evil and browser.text("held") == f"The gate waits: {evil}."
    assert browser.text("since") == "2023-11-14 22:12:20", "event time of the ledger"
    assert browser.text("better") == "Loses 3.7 % less than crypto@5 on the same 381 questions"
    assert browser.text("sure") == (
        "Were it no better, chance would show as much at most once in 845 tries, however often one looks; "
        "once in 768 was needed. Gain a question 0.42, between 0.13 and 0.72"
    )
    assert browser.text("learned") == "events 11 to 20 of the log, on top of its parents"
    said = browser.value(
        "[...document.querySelectorAll('#happened li')].map(li => [...li.children].map(e => e.textContent))"
    )
    assert said[0] == ["2023-11-14 22:13:20", "Rolled back by <i>ada</i>", f"crypto@7: {evil}"]
    assert [one[1:] for one in said[1:]] == [["Alert", evil], ["Promoted by the gate", "c@5: x"]]
    assert not browser.value("document.querySelector('#happened img, #happened i, dl img, #held img') !== null")
    assert "taken" not in browser.value("document.title") and browser.complaints() == []


def test_it_is_live_again_after_a_restart_with_what_it_missed(browser, service):
    tell(service, "live", range(40))
    with Endpoint(app_of(service)) as endpoint:
        browser.open(endpoint.url)
        says(browser, "Live")
    says(browser, "No answer")
    assert "What you see ends at 22:19:50" in browser.text("notice")
    port = int(endpoint.url.rsplit(":", 1)[1])
    with closing(Service()) as another, Endpoint(app_of(another), port=port):
        tell(another, "live", range(35, 45))
        says(browser, "Live")
        browser.wait(f"document.getElementById('panel').dataset.end == {START + 44 * 10_000}")
        assert browser.value("document.getElementById('panel').dataset.bars") == "45", "those seen before stay"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_it_fits_and_can_be_read_on_a_laptop_and_a_phone_dark_and_light(browser, service, url, size, scheme):
    tell(service, "reconnecting", range(200), "connection closed", ["a long alarm " * 12])
    browser.open(url, **size, scheme=scheme)
    browser.wait("document.getElementById('panel').dataset.bars > 20")
    assert browser.value("document.documentElement.scrollWidth") <= size["width"], "it scrolls sideways"
    small = "[...document.querySelectorAll('main *')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length"
    assert browser.value(small) == 0, "text smaller than 12 px"
    ends = "[...document.querySelectorAll('svg text')].filter(t => t.getBoundingClientRect().right > innerWidth).length"
    assert browser.value(ends) == 0, "a label is cut off"
    ink, paper = (luminance(browser.value(f"getComputedStyle(document.body).{it}")) for it in ("color", "background"))
    assert (ink > paper) == (scheme == "dark") and (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 7
    assert browser.screenshot().startswith(b"\x89PNG")


def test_a_stream_of_payments_shows_risks_and_which_are_worth_an_alert(browser, service):
    with Endpoint(app_of(service, "fraud")) as endpoint:
        for i in range(60):
            about = question(i, "card") | dict(closed={}, extra=dict(alert=i % 20 == 0))
            about["predictions"] = {"fraud": dict(probability=0.9 if i % 20 == 0 else 0.01)}
            service.stream.publish(about["at"], "question", about)
        browser.open(endpoint.url, **LAPTOP)
        browser.wait("document.querySelectorAll('#panel circle').length === 60")
        assert browser.value("document.querySelectorAll('#panel circle[r=\"5\"]').length") == 3
        assert "3 worth an alert" in browser.value("document.getElementById('panel').getAttribute('aria-label')")


def test_several_keys_are_chosen_from(browser, service, url):
    tell(service, "live", range(20))
    service.stream.publish(START + 10**6, "question", question(100, "BTC-USD"))
    browser.open(url, **LAPTOP)
    browser.wait("document.getElementById('keys').options.length === 2")
    assert browser.text("title") == "Where is the price of ETH-USD in 10s?"
    assert browser.value("[...document.querySelectorAll('#eachkey td:first-child')].map(c => c.innerText)") == [
        "ETH-USD",
        "BTC-USD",
    ]
    browser.value("document.querySelectorAll('#eachkey button')[1].click()")
    browser.wait(f"document.getElementById('panel').dataset.end == {START + 1_000_000}")


def drag(browser: Browser, start: int, stop: int, y: int) -> None:
    """Drag with the mouse along a line."""
    about = dict(y=y, button="left", clickCount=1)
    browser.call("Input.dispatchMouseEvent", type="mousePressed", x=start, **about)
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=stop, y=y, button="left", buttons=1)
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", x=stop, **about)


def key(browser: Browser, name: str) -> None:
    about = dict(key=name, text=name) if len(name) == 1 else dict(key=name)
    browser.call("Input.dispatchKeyEvent", type="keyDown", **about)


def test_charts_zoom_pan_and_point_with_pointer_buttons_and_keyboard(browser, service, url):
    tell(service, "live", range(400))
    browser.open(url, **LAPTOP)
    bars, end = (f"Number(document.getElementById('panel').dataset.{it})" for it in ("bars", "end"))
    browser.wait(f"{bars} === 150")
    names = browser.value("[...document.querySelectorAll('#ranges button')].map(b => b.textContent)")
    assert names == ["5 min", "15 min", "1 h", "All"]
    browser.value("document.querySelectorAll('#ranges button')[3].click()")
    browser.wait(f"{bars} === 400 && document.querySelector('#ranges [aria-pressed=true]').textContent === 'All'")
    browser.value("document.querySelectorAll('#ranges button')[1].click()")
    browser.wait(f"{bars} === 91")
    middle = browser.value(
        "(r => Math.round(r.top + r.height / 2))(document.getElementById('panel').getBoundingClientRect())"
    )
    drag(browser, 400, 700, middle)
    browser.wait(f"{end} < {START + 399 * 10_000} && {bars} >= 90")
    away = browser.value(end)
    tell(service, "live", [400])
    browser.wait("document.getElementById('panel').getAttribute('aria-label').length > 0")
    assert browser.value(end) == away, "what is looked at stays while questions come"
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=500, y=middle)
    browser.wait("document.querySelectorAll('svg .mark').length === 2")
    assert "open 20" in browser.text("readout") and "served 0.031" in browser.text("beside")
    wheel = dict(type="mouseWheel", x=500, y=middle, deltaX=0, deltaY=-120, modifiers=2)
    browser.call("Input.dispatchMouseEvent", **wheel)
    browser.wait(f"{bars} < 80")
    browser.value("document.getElementById('panel').focus()")
    key(browser, "Escape")
    browser.wait(f"{bars} === 150 && {end} === {START + 400 * 10_000}")
    key(browser, "ArrowLeft")
    browser.wait("document.getElementById('readout').textContent.startsWith('23:19:50')")
    key(browser, "+")
    browser.wait(f"{bars} < 80")
    assert browser.complaints() == []


def test_accuracy_drift_latency_and_features_are_on_one_page(browser, service, url):
    rng, features = np.random.default_rng(7), FeatureQuality(("spread", "<b>flow</b>"))
    features.take(rng.normal(0, 1, (500, 2)))
    features.take(rng.normal([3, 0], 1, (500, 2)))
    features.take(np.where([[False, True]], np.nan, rng.normal(3, 1, (50, 2))))
    service.quality = lambda: features.as_dict({("spread", "stale"): 4})
    service.headline = Headline(**SCORE)
    tell(service, "live", range(5), scores={"baseline": {"return": dict(r2_zero=0.0)}})
    for _ in range(3):
        httpx.post(f"{url}/predict", json={"features": {"return_1": 1.0, "imbalance_60s": 0.0}, "key": "ETH-USD"})
    browser.open(url, **PHONE)
    browser.wait("document.getElementById('features').rows.length === 3")
    assert browser.text("accuracy") == "return r2 zero 0.0310, no change 0.0000, 1,190 of 1,200 answered"
    assert browser.text("drift").startswith(
        "1 of 2 features drifted: spread, newest 500 questions against the first 500"
    )
    assert re.match(r"/predict: p50 [\d.]+ ms, p99 [\d.]+ m?s \(n = 3\)", browser.text("latency"))
    assert browser.text("complete") == "missing: <b>flow</b> 10 %; served stale: spread 4 times"
    assert browser.value("document.documentElement.scrollWidth") <= 390 and browser.complaints() == []


def luminance(color: str) -> float:
    """Relative luminance of ``rgb(...)``, as the rules for contrast define it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_running_test_is_shown_with_its_arms_and_stopped_by_a_person_with_the_token(browser, tmp_path):
    with several(tmp_path) as publisher:
        publisher.router.change("canary", {"crypto@2": 0.1}, "ada", "better in shadow", steps=(0.5,))
        for n in range(40):
            publisher.service.ask(PredictRequest(key="ETH-USD", unit=f"u{n}"))
        publisher.router.learn()
        access, promotions = Access(SECRET), Promotions(publisher)
        view = view_of(RunConfig.of("crypto", ()))
        with Endpoint(make_app(publisher.service, promotions=promotions, access=access, view=view)) as endpoint:
            browser.open(endpoint.url)
            browser.wait("document.querySelectorAll('#arms tr').length == 3")
            browser.wait("document.querySelectorAll('#tree circle').length === 3")
            assert "crypto@1, a root, learned up to" in browser.value("document.getElementById('tree').ariaLabel")
            assert browser.text("route") == "a canary of 100 % of the units: crypto@1 90 %, crypto@2 10 %"
            assert "crypto@210 %" in browser.text("arms") and "Last change by ada" in browser.text("advice")
            assert "crypto@2: neither better nor worse so far." in browser.text("advice")
            browser.value(f"window.prompt = text => text.includes('token') ? {SECRET!r} : 'ada from the page'")
            browser.value("document.getElementById('next').click()")
            browser.wait("document.getElementById('route').textContent.includes('crypto@2 50 %')")
            browser.value("document.getElementById('stop').click()")
            browser.wait("document.getElementById('routing').hidden")
        assert publisher.router.routes.entries()[-1].evidence["who"] == "ada from the page"
