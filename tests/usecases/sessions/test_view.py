"""Lists served to visitors of the seeded shop: which way each came about, and the page that shows them."""

import asyncio
import json
from collections import Counter
from contextlib import ExitStack, closing
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from browser import CHROMIUM, Browser

from rtml.core.clock import span
from rtml.registry.registry import Registry
from rtml.serving.app import make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.event_writer import EventWriter
from rtml.serving.events import Events
from rtml.serving.publisher import Publisher
from rtml.serving.schemas import Refused, encode
from rtml.serving.service import Service
from rtml.serving.snapshot import StreamClock, iso
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.store.names import Names
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer
from rtml.usecases.sessions.events import CLICKS, clicks, number_of
from rtml.usecases.sessions.shop import Shop
from rtml.usecases.sessions.sources import Recorded
from rtml.usecases.sessions.view import ShopView

CONFIG = RunConfig.of("sessions", (), "shop")
STRANGER = 2**40
SECOND, DAY = 10**9, 86_400 * 10**9


class Served:
    """The seeded shop, learned and served, with its truth."""

    def __init__(self, folder, stack):
        shop = Shop(seed=5, days=2, visits=250)
        self.log = stack.enter_context(EventLog(folder / "events.db"))
        for frame in shop.chunks():
            self.log.append(PART, CLICKS.accept(frame)[0])
        registry = stack.enter_context(closing(Registry(folder / "registry")))
        store = folder / "training.db"
        trainer = Trainer(CONFIG.flow(), self.log, PART, store, registry, "sessions", span("1d"), publish="learner")
        self.trainer = stack.enter_context(closing(trainer))
        self.trainer.run()
        self.service = stack.enter_context(closing(Service(folder / "predictions.db", clock=StreamClock())))
        publisher = Publisher(self.service, registry, CONFIG, store)
        publisher.begin()
        publisher.view._due = 2**62  # lists are computed when a test says so
        self.view, self.events = publisher.view, Events(publisher, self.log, store, durable=False)
        self.rows = self.log.read(PART, 0, 10**6)[1]
        self.end = int(self.rows["time"].max())
        self.topic = dict(zip(self.rows["item"].tolist(), self.rows["category"].tolist(), strict=True))

    def click(self, visitor, *items, at=0):
        """Clicks a second apart; the list that the flow gave at the last of them."""
        for k, item in enumerate(items):
            outcome = self.events.take(clicks([at + k * SECOND], visitor=visitor, item=item))
        said = outcome.predictions["next_click"][-1]
        return said[np.isfinite(said)].astype(int).tolist()

    def ask(self, **about):
        given = asyncio.run(self.view.reply(self.service, encode(about)))
        items = [one["item"] for one in given.answers()["next_click"]["items"]]
        return items, json.loads(bytes(given.extra)), given


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with ExitStack() as stack:
        yield Served(tmp_path_factory.mktemp("shop"), stack)


@pytest.fixture
def later(shop):
    """A moment behind everything that happened so far; a day goes by, so that nobody is in the middle of a visit."""
    shop.end += DAY
    return shop.end


def test_a_stranger_sees_what_is_popular_and_after_three_clicks_of_a_topic_that_topic(shop, later):
    shop.click(1, 1, at=later)
    before, trace, _ = shop.ask(visitor=STRANGER, k=8)
    assert trace["path"] == "popular" and set(trace["from"]) == {"popular"} and len(before) == 8
    counts = Counter(shop.rows["category"].tolist())
    topic = counts.most_common(6)[-1][0]
    own = [i for i, _ in Counter(shop.rows["item"][shop.rows["category"] == topic].tolist()).most_common(3)]
    said = shop.click(STRANGER, *own, at=later + SECOND)
    after, trace, given = shop.ask(visitor=STRANGER, k=8)
    share = {name: np.mean([shop.topic[i] == topic for i in items]) for name, items in (("0", before), ("3", after))}
    assert trace["path"] == "session" and trace["session"]["clicks"] == 3
    assert after != before and share["3"] >= 0.5 > share["0"], share
    assert after == said[:8], "what is served is what the flow said, and what is evaluated"
    assert given.question is None and shop.ask(visitor=STRANGER, k=20)[2].question is not None


def test_a_visitor_who_is_away_gets_the_stored_list_and_with_a_click_another_order_and_both_ways_are_told(shop, later):
    shop.click(77, 10, 20, 30, at=later)
    saved = shop.view.lists.compute(shop.service.snapshot.load()[1]["next_click"], "sessions@4", later + 60 * SECOND)
    assert saved.computed >= 1
    shop.click(78, 5, at=later + 7200 * SECOND)  # time goes on: the visit is over
    stored, trace, _ = shop.ask(visitor=77)
    assert trace["path"] == "stored" and "session" not in trace
    assert trace["stored"]["by"] == "sessions@4" and 7000 < trace["stored"]["age_s"] < 7300
    shop.click(77, 400, at=later + 7300 * SECOND)
    listed, trace, given = shop.ask(visitor=77)
    assert trace["path"] == "session" and listed != stored and {"session", "stored"} <= trace.keys()
    assert trace["session"]["by"] == given.version == "sessions@learner" and trace["session"]["age_s"] < 60


def test_a_click_that_is_not_learned_in_time_gets_the_stored_list_and_one_that_is_the_new_one(shop, later):
    shop.click(80, 11, 12, at=later)
    shop.view.compute(later)
    clicked = iso(later + 5 * SECOND)
    _, trace, _ = shop.ask(visitor=80, clicked_at=clicked, budget_ms=5)
    assert trace["path"] == "stored" and trace["slow"]
    shop.click(80, 13, at=later + 5 * SECOND)
    _, trace, _ = shop.ask(visitor=80, clicked_at=clicked, budget_ms=5)
    assert trace["path"] == "session" and not trace["slow"] and trace["session"]["clicks"] == 3


def test_only_active_visitors_are_computed_and_what_that_saves_is_counted(shop, later):
    for who in (501, 502, 503):
        shop.click(who, who - 400, at=later)
    asked = []

    class Counting:
        def predict(self, x):
            asked.append(int(x[4]))
            return np.array([1.0, 2.0])

    saved = shop.view.lists.compute(Counting(), "v", later + SECOND)
    known = len({int(v) for v in shop.log.read(PART, 0, 10**6)[1]["visitor"] if v >= 0})
    assert {501, 502, 503} <= set(asked) and len(asked) == saved.computed == saved.active < known == saved.known
    assert saved.saved == 1 - len(asked) / known and shop.view.lists.saved == saved
    assert shop.view.lists.stored(502, later + SECOND)[0] == [1, 2]
    assert shop.view.lists.stored(502, later + 8 * DAY)[0] == [], "a list that is stale is not given"


def test_lists_are_computed_once_an_hour_of_event_time(shop, later):
    shop.click(601, 7, at=later)
    shop.view._due = later + SECOND
    try:
        shop.click(602, 8, at=later + 2 * SECOND)
        shop.view._pool.submit(int).result(60)
        assert shop.view.lists.stored(601, later + 3 * SECOND)[2] == "sessions@learner"
        assert shop.view._due == later + 2 * SECOND + span("1h")
    finally:
        shop.view._due = 2**62


def test_a_list_is_of_a_category_without_what_is_excluded_and_as_long_as_asked(shop, later):
    full = shop.click(90, 7, 8, 9, at=later)
    topic = shop.topic[full[0]]
    some, _, _ = shop.ask(visitor=90, filter=topic, k=15, exclude=[full[0]])
    assert {shop.topic[i] for i in some} == {topic} and full[0] not in some and len(set(some)) == len(some) == 15
    all_of_them, _, _ = shop.ask(visitor=90, k=200)
    assert all_of_them[: len(full)] == full and len(all_of_them) == len(set(all_of_them)) == 200
    tiny, _, _ = shop.ask(visitor=90, filter=topic, k=200)
    assert set(tiny) == {i for i, t in shop.topic.items() if t == topic}, "k larger than the catalogue gives all of it"


def test_a_session_with_an_id_of_its_own_is_asked_by_it_and_text_ids_are_ids(shop, later):
    shop.events.take(clicks([later], session=12345, item=7))
    assert shop.ask(session="12345", k=3)[1]["path"] == "session"
    assert shop.ask(session=99, k=3)[1]["path"] == "popular" and shop.ask(visitor="nobody", k=3)[1]["path"] == "popular"


@pytest.mark.parametrize(("about", "said"), [
    ({"visitor": 1, "k": 0}, "k: "), ({"visitor": 1, "k": 1000}, "k: "), ({"visitor": [1]}, "visitor: "),
    ({"visitor": 1, "clicked_at": "soon"}, "clicked_at: must be a time"), ({"visitor": 1, "colour": 1}, "colour: "),
    ({"visitor": 1, "budget_ms": -1}, "budget_ms: "),
])  # fmt: skip
def test_bad_requests_say_what_is_wrong(shop, about, said):
    with pytest.raises(Refused, match=said):
        shop.ask(**about)


def test_other_requests_are_answered_as_ever(shop):
    with Endpoint(make_app(shop.service, view=shop.view)) as endpoint, httpx.Client(base_url=endpoint.url) as client:
        by_key = client.post("/predict", json={}).json()
        assert by_key["key"] == "shop" and len(by_key["predictions"]["next_click"]["items"]) == 20
        assert client.post("/predict", json={"visitor": "a", "k": 2}).json()["extra"]["path"] == "popular"
        assert client.post("/predict", json={"what": 1}).status_code == 422
        assert len(client.get("/items").json()["items"]) == 48


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_the_page_of_the_shop_changes_with_each_click(shop, later, tmp_path):
    shop.click(1, 1, at=later)
    with closing(EventWriter(shop.log, shop.view, shop.service.clock.now, write=shop.events.post)) as writer:
        app = make_app(shop.service, view=shop.view, writer=writer)
        with Endpoint(app) as endpoint, Browser(tmp_path / "chromium") as browser:
            browser.open(f"{endpoint.url}/shop")
            listed = "[...document.querySelectorAll('#list button')].map(b => b.dataset.item).join()"
            browser.wait("document.querySelectorAll('#list li').length === 10")
            seen = [browser.value(listed)]
            for clicks_so_far in (1, 2, 3):
                browser.value("document.querySelectorAll('.tile')[3].click()")
                browser.wait(f"document.getElementById('list').dataset.clicks == {clicks_so_far}")
                seen.append(browser.value(listed))
            assert seen[1] != seen[0] and "from your clicks, 3 so far" in browser.text("way")
            browser.value("document.querySelectorAll('#categories button')[2].click()")
            browser.wait("document.querySelectorAll('#categories button')[2].getAttribute('aria-pressed') === 'true'")
            reasons = browser.value("[...document.querySelectorAll('#list small')].map(s => s.textContent).join('; ')")
            assert "you looked at it" in reasons and "similar visits" in reasons, reasons
            (tmp_path / "shop.png").write_bytes(browser.screenshot())
            assert not browser.complaints() and browser.text("notice") == ""
            assert all(address.startswith(endpoint.url) for address in browser.asked())


def test_items_of_texts_come_back_as_texts_from_a_file_or_posted(tmp_path):
    """Of a number that stands for a text nobody could make use."""
    shoes = ("red shoe", "blue shoe", "green shoe")
    rows = [f"2025-03-01T00:{k // 60:02d}:{k % 60:02d}Z,v{k // 6},{shoes[k % 3]}" for k in range(900)]
    (tmp_path / "clicks.csv").write_text("\n".join(["time,visitor,item", *rows]))
    with EventLog(tmp_path / "events.db") as log:
        ingest(Recorded(tmp_path / "clicks.csv"), log, PART)
        with closing(EventWriter(log, ShopView(CONFIG), lambda: 1)) as writer:
            click = {"visitor": "ada", "item": "new shoe", "category": "shoes", "time": 10**18}
            assert writer.send(b"", encode(click)).result(20).accepted == 1
        held = {int(number) for number in log.read(PART)[1]["item"]}
    names = Names(tmp_path / "events.db.names")
    assert {names.get(number) for number in held} == {*shoes, "new shoe"}
    assert {number_of(number) for number in held} == held, "a number that came back is the item that it stands for"
    view = ShopView(CONFIG)
    view.publisher = SimpleNamespace(folder=tmp_path)
    listed = view.items()
    assert {one["item"] for one in listed["items"]} == {*shoes, "new shoe"}
    assert listed["categories"] == ["shoes"] and view.text(7) == 7
    names.path.write_text(names.path.read_text() + "[1, \n[2,")  # a crash in mid-line
    assert Names(tmp_path / "events.db.names").get(number_of("new shoe")) == "new shoe"
