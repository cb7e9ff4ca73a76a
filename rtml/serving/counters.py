"""What the endpoint counts and how long it takes, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rtml.serving.service import Service

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Counters:
    """Requests, latencies, predictions and answers of one app, with the state of its service."""

    def __init__(self, service: Service) -> None:
        self._registry = CollectorRegistry()
        names = {"registry": self._registry}
        self._requests = Counter("rtml_requests", "HTTP requests.", ("route", "status"), **names)
        self._seconds = Histogram(
            "rtml_request_seconds", "From headers read to response written.", ("route",), buckets=_SECONDS, **names
        )
        self._predictions = Counter("rtml_predictions", "Predictions given.", **names)
        self._answers = Counter("rtml_answers", "Answers told, by what became of them.", ("status",), **names)
        self._registry.register(_State(service))
        self._by_labels: dict = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        found = self._by_labels.get((route, status))
        if found is None:
            found = self._by_labels[route, status] = self._requests.labels(route, status), self._seconds.labels(route)
        found[0].inc()
        found[1].observe(seconds)

    def prediction(self) -> None:
        """Count a prediction."""
        self._predictions.inc()

    def answer(self, status: str) -> None:
        """Count an answer: joined, repeated, unknown or contradicting."""
        self._answers.labels(status).inc()

    def text(self) -> bytes:
        """Everything in the text format of Prometheus."""
        return generate_latest(self._registry)


class _State(Collector):
    """The service as it is when asked."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        status, snapshot = self._service.status(), self._service.snapshot
        yield GaugeMetricFamily("rtml_ready", "1 when predictions can be given.", value=float(status["ready"]))
        waiting = float(status["predictions_waiting_for_the_log"])
        yield GaugeMetricFamily("rtml_prediction_log_waiting", "Predictions not yet on disk.", value=waiting)
        age = GaugeMetricFamily("rtml_features_age_seconds", "Age of the newest features.", labels=("symbol",))
        for symbol, seconds in status["features_age_s"].items():
            age.add_metric((symbol,), seconds)
        yield age
        model = GaugeMetricFamily("rtml_model_info", "The version that serves.", labels=("version", "kind", "target"))
        trained = GaugeMetricFamily("rtml_model_trained_up_to_seconds", "Event time the model has learned up to.")
        if snapshot is not None:
            model.add_metric((snapshot.version, snapshot.kind, snapshot.target), 1.0)
            trained.add_metric((), snapshot.trained_up_to / 1e9)
        yield from (model, trained)
