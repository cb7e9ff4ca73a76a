"""What a shop adds to serving: lists by visitor or session, and a page of a small shop.

A visitor who is here gets the very list that the flow gave at their newest click, so what is served is what is
evaluated. Where that is not there, or not yet, the list that was stored for them stands in, and then what is popular.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta, Raw, Struct
from starlette.responses import HTMLResponse, Response

from rtml.core.clock import moment as moment_of
from rtml.core.clock import span
from rtml.serving.events import Events
from rtml.serving.pages import shut
from rtml.serving.schemas import Prediction, Refused, encode, invalid, read
from rtml.serving.service import NO_MODEL, Service
from rtml.serving.snapshot import Question
from rtml.serving.view import View, script
from rtml.store.event_log import EventLog
from rtml.store.names import ENDING, Names
from rtml.usecases.sessions.events import CLICKS, WORDS, number_of
from rtml.usecases.sessions.lists import Catalogue, Lists, Newest, merged

if TYPE_CHECKING:
    from rtml.serving.app import App
    from rtml.serving.publisher import Publisher
    from rtml.training.flow import Outcome

EVERY = span("1h")  # event time between two computations of stored lists
_Id = str | int
_PAUSE_S = 0.002
_MOST = 200  # items of a list
_SHOWN = 40  # categories of the page


class ListRequest(Struct, forbid_unknown_fields=True):
    """Ask for what a visitor, or a session, will click next.

    Examples
    --------
    >>> import msgspec
    >>> msgspec.json.decode(b'{"session": 5, "k": 0}', type=ListRequest)
    Traceback (most recent call last):
        ...
    msgspec.ValidationError: Expected `int` >= 1 - at `$.k`
    """

    session: _Id | None = None
    visitor: _Id | None = None
    k: Annotated[int, Meta(ge=1, le=_MOST)] = 20
    exclude: list[_Id] = []
    filter: _Id | None = None  #: a category
    clicked_at: str | None = None  #: the time that POST /events told of a click that the list shall know
    budget_ms: Annotated[float, Meta(ge=0, le=5000)] = 50.0  #: how long to wait for that
    why: bool = False


class ShopView(View):
    """The view of clicks."""

    schema = CLICKS
    publisher: Publisher | None = None

    @cached_property
    def lists(self) -> Lists:
        """Lists of visitors and sessions."""
        kept = self.publisher is not None and self.publisher.folder.exists()
        return Lists(self.publisher.folder / "lists.db" if kept else ":memory:")

    @cached_property
    def catalogue(self) -> Catalogue | None:
        """Items of the run's log, which lies beside its training or, for one that goes on from copies, above it."""
        found = next((log for log in self._logs if log.exists()), None)
        return Catalogue(EventLog(found)) if found else None

    @cached_property
    def _logs(self) -> list[Path]:
        folder = self.publisher.folder if self.publisher else None
        return [place / "events.db" for place in (folder, folder.parent)] if folder else []

    @cached_property
    def _names(self) -> list[Names]:
        return [Names(f"{log}{ENDING}") for log in self._logs]

    def text(self, id: int) -> int | str:
        """An item or a category as it was given: a text, or a whole number that stands for itself."""
        if id < WORDS:
            return id
        return next((text for names in self._names if (text := names.get(id)) is not None), id)

    def open(self, publisher: Publisher) -> None:
        """Begin."""
        self.publisher, self._due = publisher, 0
        self._pool = ThreadPoolExecutor(1, "rtml-lists")
        self._computing = self._pool.submit(int)
        operator = publisher.flow.operator
        self._gaps = {False: operator.gap, True: operator.own_gap}

    def served(self, outcome: Outcome, version: str) -> None:
        """Keep the lists that were just served; once an hour of event time compute those of who was here lately."""
        if not len(outcome.id):
            return
        self.lists.take(outcome, self.config.target.name, version)
        now = int(outcome.moment[-1])
        if now >= self._due and self._computing.done():
            self._computing = self._pool.submit(self.compute, now) if self._due else self._computing
            self._due = now + EVERY

    def compute(self, now: int) -> None:
        """Compute the stored lists of active visitors with what serves, in a copy of its own."""
        snapshot = self.publisher.service.snapshot
        if snapshot is not None:
            models = snapshot.load()[1]
            self.lists.compute(models[self.config.target.name], snapshot.version, now)

    async def reply(self, service: Service, body: bytes) -> Prediction | None:
        """A list for a session or visitor; None for a request of another kind."""
        try:
            asked = read(ListRequest, body)
        except Refused:
            if b'"visitor"' in body or b'"session"' in body:
                raise
            return None
        if asked.session is None and asked.visitor is None:
            return None
        waited = await self._wait(service, asked)
        return self.list_for(service, asked, slow=not waited)

    def list_for(self, service: Service, asked: ListRequest, slow: bool = False) -> Prediction:
        """The list, logged, with the way it came about under ``extra``."""
        started, snapshot = service.clock.elapsed(), service.snapshot
        if snapshot is None:
            raise Refused(503, NO_MODEL)
        now, newest = service.clock.now(), self._newest(asked)
        here = newest is not None and now - newest.moment <= self._gaps[asked.session is not None]
        stored, age, by = self.lists.stored(number_of(asked.visitor), now) if asked.visitor is not None else ([], 0, "")
        own = newest.items[np.isfinite(newest.items)].astype(np.int64).tolist() if here and not slow else []
        chosen = self._chosen(asked, own, stored)
        path = next((name for name, items in (("session", own), ("stored", stored)) if items), "popular")
        trace: dict = {"path": path, "slow": slow, "from": [name for _, name in chosen]}
        if here:
            trace["session"] = {"age_s": (now - newest.moment) / 1e9, "clicks": int(newest.x[1]), "by": newest.version}
        if stored:
            trace["stored"] = {"age_s": age, "by": by}
        items = [item for item, _ in chosen]
        if asked.why:
            model = snapshot.learned[1][self.config.target.name] if here else None
            about = model.reasons(newest.x) if hasattr(model, "reasons") else {}
            trace["why"] = [about.get(item, {}) for item in items]
        question = self._question(service, newest if here else None, own == items, now)
        told = question.answered(snapshot.targets, {self.config.target.name: np.array(items, float)})
        for one in told[self.config.target.name]["items"]:
            one["item"] = self.text(one["item"])
        question.predictions = Raw(encode(told))
        question.extra = Raw(encode(trace))
        return service.give(question, started)

    def routes(self, app: App, events: Events | None) -> None:
        """``GET /shop``, a page, and ``GET /items``, what it shows."""
        page = script(__file__, "shop.html")
        shop = HTMLResponse(page, headers=shut(page))

        @app.get("/shop", include_in_schema=False)
        async def page_of_the_shop() -> HTMLResponse:
            return shop

        @app.get("/items", summary="popular items, of a category where it is given, and all categories")
        def items(category: str = "") -> Response:
            return Response(encode(self.items(category)), media_type="application/json")

    def items(self, category: str = "", n: int = 48) -> dict:
        """The items that are popular now, with category and price, and the categories there are."""
        if self.catalogue is None:
            return {"items": [], "categories": []}
        found, about = self.catalogue.read(), self.catalogue
        chosen = found.popular(n, number_of(category))
        shown = [(item, about.category.get(item), about.price.get(item)) for item in chosen]
        named = [(str(self.text(i)), None if c is None else str(self.text(c)), p) for i, c, p in shown]
        items = [{"item": item, "category": category, "price": price} for item, category, price in named]
        categories = [str(self.text(c)) for c in sorted(set(about.category.values()))[:_SHOWN]]
        return {"items": items, "categories": categories}

    async def _wait(self, service: Service, asked: ListRequest) -> bool:
        """Wait until the click that the request names has its list; whether it has within the budget."""
        if asked.clicked_at is None:
            return True
        try:
            wanted = moment_of(asked.clicked_at)
        except ValueError as ex:
            raise invalid("clicked_at", "must be a time as POST /events tells it", asked.clicked_at) from ex
        until = service.clock.elapsed() + asked.budget_ms * 1e6
        while (newest := self._newest(asked)) is None or newest.moment < wanted:
            if service.clock.elapsed() >= until:
                return False
            await asyncio.sleep(_PAUSE_S)
        return True

    def _newest(self, asked: ListRequest) -> Newest | None:
        own = asked.session is not None
        return self.lists.newest(number_of(asked.session if own else asked.visitor), own)

    def _chosen(self, asked: ListRequest, own: list[int], stored: list[int]) -> list[tuple[int, str]]:
        """Items with the list each is of; with a category only those of it."""
        catalogue = self.catalogue.read() if self.catalogue is not None else None
        category = -1 if asked.filter is None else number_of(asked.filter)
        out = {number_of(id) for id in asked.exclude}
        n = asked.k + len(out)
        popular = catalogue.popular(n + _MOST if category < 0 else n, category) if catalogue else []
        of = catalogue.category if catalogue else {}
        sources = (("session", own), ("stored", stored), ("popular", popular))
        return merged(asked.k, sources, lambda item: item not in out and category in (-1, of.get(item, -2)))

    def _question(self, service: Service, newest: Newest | None, whole: bool, now: int) -> Question:
        """The question that a list answers: the stream's own where the list is the very one served for it."""
        snapshot, key = service.snapshot, self.config.keys[0]
        if newest is None:
            x = np.full(len(snapshot.names), -1.0)
            return Question(snapshot.version, snapshot.offset, None, key, now, x.tobytes(), snapshot.horizon)
        about = (newest.version, snapshot.offset, newest.id if whole else None, key, newest.moment)
        return Question(*about, newest.x.tobytes(), snapshot.horizon)
