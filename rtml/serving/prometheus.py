"""What the endpoint counts and how long it takes, for Prometheus."""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from rtml.serving.service import Service
from rtml.serving.stream_schemas import STATES

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_OF_ARMS = {
    "share": "Share of the requests in a test that an arm answers.",
    "asked": "Requests of an arm in the running test.",
    "answered_units": "Units of an arm with an answer.",
    "failures": "Failures of an arm, counted once a unit.",
    "loss": "Mean loss of an arm, between 0 and 1.",
}


TIMED = ("/predict", "/answers", "/events")


class Counters(Collector):
    """Requests, latencies and answers of one app, and the state of its service when asked.

    Counted by the app's event loop alone, in plain numbers: 0.5 us a request, where the library's own counters
    take 2.6 us with their locks.

    Examples
    --------
    >>> from rtml.serving.service import Service
    >>> counters = Counters(Service(":memory:"))
    >>> for seconds in (0.001, 0.001, 0.004):
    ...     counters.request("/predict", 200, seconds)
    >>> b'rtml_requests_total{route="/predict",status="200"} 3.0' in counters.text()
    True
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._requests: dict[tuple[str, int], int] = {}
        self._answers: dict[str, int] = {}
        self._seconds: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self._events, self._event_sum = [0] * (len(_SECONDS) + 1), 0.0
        self._folder: Path | None = None  # where all processes of a port keep what they count

    @contextmanager
    def shared(self, folder: Path) -> Iterator[None]:
        """Count together with all processes that keep their counts in a folder, twice a second and at the end."""
        self._folder, stop = folder, threading.Event()

        def keep() -> None:
            while not stop.wait(0.5):
                self._keep()

        thread = threading.Thread(target=keep, name="rtml-counts", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self._keep()

    def _keep(self) -> None:
        path = self._folder / f"{os.getpid()}.txt"
        partial = path.with_suffix(".part")
        partial.write_bytes(self._own())
        partial.replace(path)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        key = (route, status)
        try:
            self._requests[key] += 1
        except KeyError:
            self._requests[key] = 1
            self._seconds.setdefault(route, [0] * (len(_SECONDS) + 1))
            self._sums.setdefault(route, 0.0)
        self._seconds[route][bisect_left(_SECONDS, seconds)] += 1
        self._sums[route] += seconds

    def answer(self, status: str) -> None:
        """Count an answer: joined, repeated, unknown or contradicting."""
        self._answers[status] = self._answers.get(status, 0) + 1

    def observe_event(self, seconds: float) -> None:
        """Time from an event received to the prediction published; called by the one thread that publishes."""
        self._events[bisect_left(_SECONDS, seconds)] += 1
        self._event_sum += seconds

    def latencies(self) -> dict[str, dict]:
        """Median and 99th percentile in ms by route, and from an event received to its prediction."""
        every = {**{of: self._seconds[of] for of in TIMED if of in self._seconds}, "event to prediction": self._events}
        return {of: _percentiles(counts) for of, counts in every.items() if sum(counts)}

    def text(self) -> bytes:
        """Everything in the text format of Prometheus, counted over all processes of the port."""
        if self._folder is None:
            return self._own()
        others = [path.read_text() for path in self._folder.glob("*.txt") if path.stem != str(os.getpid())]
        return generate_latest(_Sum([self._own().decode(), *others]))

    def _own(self) -> bytes:
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """Families of metrics, as the library asks for them."""
        requests = [(route, str(status), count) for (route, status), count in list(self._requests.items())]
        yield _family("rtml_requests", "HTTP requests.", requests, "route", "status", kind=CounterMetricFamily)
        seconds = [(route, counts, self._sums[route]) for route, counts in list(self._seconds.items())]
        yield _histogram("rtml_request_seconds", "From headers read to response written.", seconds, "route")
        help = "Answers told, by what became of them."
        yield _family("rtml_answers", help, list(self._answers.items()), "status", kind=CounterMetricFamily)
        events = [(self._events, self._event_sum)]
        yield _histogram("rtml_event_to_prediction_seconds", "Event received to prediction published.", events)
        help = "Share of the events whose prediction was published within a second of their arrival."
        count = sum(self._events)
        yield _family("rtml_events_on_time_ratio", help, [(sum(self._events[:-1]) / count,)] if count else [])
        yield from self._state()
        yield from self._arms()
        yield from self._source()

    def _state(self) -> Iterator[Metric]:
        """What serves, how old its features are, and how good what was served is."""
        service = self._service
        snapshot = self._service.snapshot
        health = self._service.health()
        yield _family("rtml_predictions", "Predictions given.", [(service.log.given,)], kind=CounterMetricFamily)
        yield _family("rtml_ready", "1 when predictions can be given.", [(float(health.ready),)])
        yield _family("rtml_prediction_log_waiting", "Predictions not yet on disk.", [(health.waiting,)])
        yield _family("rtml_features_age_seconds", "Age of the newest features.", health.features_age_s.items(), "key")
        help = "Features that were stale, refused, or replaced by a default or their last value."
        counts = snapshot.freshness.counts if snapshot is not None and snapshot.freshness is not None else {}
        served = [(*labels, count) for labels, count in list(counts.items())]
        yield _family("rtml_features_at_serve", help, served, "feature", "what", kind=CounterMetricFamily)
        models = [] if snapshot is None else [(snapshot.version, t.name, t.kind, 1.0) for t in snapshot.targets]
        yield _family("rtml_model_info", "What serves.", models, "version", "target", "kind")
        trained = [] if snapshot is None else [(snapshot.trained_up_to / 1e9,)]
        yield _family("rtml_model_trained_up_to_seconds", "Event time the model has learned up to.", trained)
        help = "Scores of what was served; without a key of all keys."
        yield _family("rtml_score", help, service.gauges(), "version", "target", "key", "metric")

    def _arms(self) -> Iterator[Metric]:
        """What the arms of a test were asked and answered."""
        router = self._service.router
        rows = router.counts() if router is not None else []
        for place, (name, help) in enumerate(_OF_ARMS.items(), 1):
            yield _family(f"rtml_arm_{name}", help, [(row[0], row[place]) for row in rows], "arm")

    def _source(self) -> Iterator[Metric]:
        """How the stream stands."""
        stream = self._service.stream
        yield _family("rtml_stream_clients", "Open streams.", [(stream.clients,)])
        dropped = [(stream.dropped,)]
        yield _family("rtml_stream_dropped", "Clients dropped for being slow.", dropped, kind=CounterMetricFamily)
        lag = [] if stream.lag_s is None else [(stream.lag_s,)]
        yield _family("rtml_event_lag_seconds", "Wall time minus event time of the newest question, when told.", lag)
        states = [(name, float(name == stream.state)) for name in STATES if stream.state]
        yield _family("rtml_source_state", "1 for the state that the source is in.", states, "state")
        yield _family("rtml_events_ignored", "Events that changed nothing.", self._service.ignored().items(), "reason")


def _family(name: str, help: str, rows: Iterable[tuple], *labels: str, kind: type = GaugeMetricFamily) -> Metric:
    """A family of metrics: each row has the values of its labels, and the number behind them."""
    family = kind(name, help, labels=labels)
    for *of, value in rows:
        family.add_metric(of, value)
    return family


def _histogram(name: str, help: str, rows: Iterable[tuple], *labels: str) -> Metric:
    """A histogram of seconds: each row has the values of its labels, the counts of the buckets and the sum."""
    family, bounds = HistogramMetricFamily(name, help, labels=labels), [*map(str, _SECONDS), "+Inf"]
    for *of, counts, total in rows:
        family.add_metric(of, list(zip(bounds, accumulate(counts), strict=True)), total)
    return family


class _Sum(CollectorRegistry):
    """Metrics of several texts: counters and histograms added up, gauges as the first text has them."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__()
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        total: dict[str, Metric] = {}
        for text in self._texts:
            for family in text_string_to_metric_families(text):
                first = total.setdefault(family.name, family)
                if first is family or family.type == "gauge":
                    continue
                places = {(s.name, *sorted(s.labels.items())): k for k, s in enumerate(first.samples)}
                for s in family.samples:
                    place = places.get((s.name, *sorted(s.labels.items())))
                    if place is None:
                        first.samples.append(s)
                    else:
                        first.samples[place] = s._replace(value=first.samples[place].value + s.value)
        yield from total.values()


def _percentiles(counts: list[int]) -> dict[str, float]:
    """Where half and 99 of 100 lie, ms, straight between the bounds of a bucket; at most the last bound."""
    total, bounds = np.cumsum(counts), np.array([0.0, *_SECONDS, _SECONDS[-1]]) * 1e3
    p50, p99 = np.interp(np.array([0.5, 0.99]) * total[-1], [0, *total], bounds).tolist()
    return {"p50_ms": p50, "p99_ms": p99, "count": int(total[-1])}
