"""Kafka: the event log on topics of one partition each (``kafka://HOST:9092``), and topics as sources.

A topic is a part, a message a block of rows that is written idempotently and acknowledged by all replicas. Of a part
one process writes at a time: Kafka has no append that depends on what is there. Topics are made so that nothing in them
is ever dropped; with ``?topics=auto`` the cluster makes them itself, as it is set up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pandas as pd
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from rtml.integrations.block_log import MessageLog, Patient
from rtml.integrations.groups import TTL_S, Membership
from rtml.sources.columns import Schema
from rtml.sources.growing import Follows, rows_of
from rtml.store.protocols import without_password

_FOR_EVER = {"retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": "2000000"}
_WAIT_S = 5.0
_SHORTEST_MS = 6000  # of a session that brokers take, as they are set up


class EventLog(MessageLog):
    """The event log on a Kafka cluster; topics are called NAME.PART.

    Examples
    --------
    >>> EventLog("kafka://host:9092?log=a.b")
    Traceback (most recent call last):
        ...
    ValueError: log='a.b' must be letters, digits, '-' and '_': a log's name is part of names on servers
    """

    LOST = (KafkaException,)

    def _connect(self) -> None:
        where: dict[str, Any] = {"bootstrap.servers": self.url.removeprefix("kafka://").rstrip("/"), "log_level": 0}
        self._producer = Producer(where | {"enable.idempotence": True, "linger.ms": 0, "message.timeout.ms": 5000})
        self._admin = AdminClient(where)
        group = {"group.id": "rtml", "enable.auto.commit": False, "isolation.level": "read_committed"}
        self._consumer = Consumer(where | group | {"fetch.wait.max.ms": 10, "enable.partition.eof": False})
        self._at: dict[str, int] = {}
        self._topics: set[str] = set()
        self._admin.list_topics(timeout=_WAIT_S)

    def _topic(self, part: str) -> str:
        return f"{self.log_name}.{part}"

    def _bounds(self, part: str) -> tuple[int, int]:
        topic = self._topic(part)
        if topic not in self._topics and topic not in self._admin.list_topics(timeout=_WAIT_S).topics:
            return 0, 0
        self._topics.add(topic)
        return self._consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=_WAIT_S)

    def _messages(self, part: str, seq: int, k: int) -> list[bytes]:
        topic = self._topic(part)
        if self._at.get(topic) != seq:
            self._at = {topic: seq}
            self._consumer.assign([TopicPartition(topic, 0, seq)])
        found = self._consumer.consume(k, _WAIT_S)
        for message in found:
            if message.error():
                self._at = {}
                raise KafkaException(message.error())
        if not found:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        self._at[topic] = int(found[-1].offset() or 0) + 1
        return [message.value() or b"" for message in found]

    def _send(self, part: str, content: bytes, seq: int, durable: bool) -> None:
        failed: list[Any] = []
        self._producer.produce(
            self._topic(part), content, partition=0, on_delivery=lambda error, _: failed.append(error)
        )
        if self._producer.flush(2 * _WAIT_S) or failed[0]:
            raise KafkaException(failed[0] if failed else KafkaError(KafkaError._TIMED_OUT))

    def _make(self, part: str) -> None:
        topic = self._topic(part)
        if self.options.get("topics") != "auto" and topic not in self._admin.list_topics(timeout=_WAIT_S).topics:
            made = NewTopic(topic, num_partitions=1, config=_FOR_EVER)
            self._admin.create_topics([made], operation_timeout=_WAIT_S)[topic].result()

    def _parts(self) -> list[str]:
        """In the order of their first messages' times: Kafka keeps none of topics."""
        begun = {}
        for topic in self._admin.list_topics(timeout=_WAIT_S).topics:
            name, _, part = topic.partition(".")
            if name == self.log_name and self._bounds(part)[1]:
                self._at = {}
                self._consumer.assign([TopicPartition(topic, 0, 0)])
                begun[part] = self._consumer.consume(1, _WAIT_S)[0].timestamp()[1]
        return sorted(begun, key=lambda part: begun[part])

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()


class Leases(Patient, Membership):
    """A member of a Kafka consumer group over the topics of a log; the group's own protocol divides them.

    No offset is committed to Kafka, and no message read here: both belong to the consumer of the part.

    Examples
    --------
    >>> Leases("kafka://host:9092?log=a.b", "readers")
    Traceback (most recent call last):
        ...
    ValueError: log='a.b' must be letters, digits, '-' and '_': a log's name is part of names on servers
    """

    LOST = (KafkaException,)

    def __init__(self, url: str, group: str, ttl_s: float = TTL_S) -> None:
        where = url.partition("?")[0].removeprefix("kafka://").rstrip("/")
        self._about: dict[str, Any] = {"bootstrap.servers": where, "group.id": group, "enable.auto.commit": False}
        lease_ms = max(_SHORTEST_MS, int(1000 * ttl_s))
        self._about |= {"session.timeout.ms": lease_ms, "heartbeat.interval.ms": lease_ms // 5}
        self._about |= {"partition.assignment.strategy": "roundrobin", "log_level": 0, "queued.min.messages": 1}
        self._topics: list[str] = []
        super().__init__(url)

    def _connect(self) -> None:
        self._consumer = Consumer(self._about)
        self._consumer.list_topics(timeout=_WAIT_S)
        if self._topics:
            self._consumer.subscribe(self._topics, on_assign=_paused)

    def share(self, parts: Sequence[str]) -> list[str]:
        """The parts that this member is to consume until it asks again."""
        wanted = [f"{self.log_name}.{part}" for part in parts]
        if wanted != self._topics:
            self._topics = wanted
            found = self._tried(lambda again: self._consumer.list_topics(timeout=_WAIT_S)).topics
            counts = [len(found[topic].partitions) if topic in found else 1 for topic in wanted]
            # of a topic with several partitions one says whose it is, in turn: else one member would get all
            self._places = [
                (topic, k % max(1, count)) for k, (topic, count) in enumerate(zip(wanted, counts, strict=True))
            ]
            self._consumer.subscribe(wanted, on_assign=_paused)
        self._tried(self._poll)
        mine = {(place.topic, place.partition) for place in self._consumer.assignment()}
        return [part for part, place in zip(parts, self._places, strict=True) if place in mine]

    def _poll(self, again: bool) -> None:
        message = self._consumer.poll(0.05)
        if message is not None and message.error():
            raise KafkaException(message.error())

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()


def _paused(consumer: Consumer, places: list[TopicPartition]) -> None:
    """Take what was assigned, and read nothing of it."""
    consumer.assign(places)
    consumer.pause(places)


class Source(Follows, Patient):
    """Rows of a topic, a JSON object each: ``kafka://HOST:9092/TOPIC``, partitions merged by the time of messages.

    Its position is the offset of each partition; no offset is committed to Kafka.

    Parameters
    ----------
    url
        Broker and topic.
    schema, symbols
        What judges the rows, and the keys of the run.

    Examples
    --------
    >>> Source("kafka://host:9092", None, ["BTC"])
    Traceback (most recent call last):
        ...
    ValueError: a topic is missing: kafka://HOST:9092/TOPIC, got kafka://host:9092
    """

    LOST = (KafkaException,)

    def __init__(self, url: str, schema: Schema, symbols: Sequence[str]) -> None:
        self._where, _, self.topic = url.partition("?")[0].removeprefix("kafka://").partition("/")
        if not self.topic:
            raise ValueError(f"a topic is missing: kafka://HOST:9092/TOPIC, got {without_password(url)}")
        Follows.__init__(self, schema, symbols)
        Patient.__init__(self, url)

    def _connect(self) -> None:
        group = {"group.id": "rtml", "enable.auto.commit": False, "isolation.level": "read_committed"}
        about = {"enable.partition.eof": True, "auto.offset.reset": "error", "log_level": 0, "fetch.wait.max.ms": 10}
        self._consumer = Consumer({"bootstrap.servers": self._where, **group, **about})
        found = self._consumer.list_topics(self.topic, timeout=_WAIT_S).topics[self.topic]
        if found.error is not None and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise LookupError(f"{self.name}: there is no topic {self.topic!r}: name one that is there")
        if found.error is not None:
            raise KafkaException(found.error)
        self._partitions = sorted(found.partitions)
        self._assigned = False

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """What is in the topic now behind ``position``."""
        self._bounds = self._tried(lambda again: self._watermarks())
        self._held: dict[int, deque] = {partition: deque() for partition in self._bounds}
        self._next = {p: self.position.get(str(p), low) for p, (low, _) in self._bounds.items()}
        self._assigned = False
        for partition, (low, _) in self._bounds.items():
            if self._next[partition] < low:
                lost = f"messages {self._next[partition]} to {low - 1} of partition {partition} before they were read"
                raise ValueError(f"{self.name}: the broker dropped {lost}: name another RUN to begin behind them")
        while messages := list(islice(self._merged(), n)):
            behind = {str(m.partition()): m.offset() + 1 for m in messages}
            self.position = self.position | behind
            yield rows_of([m.value() or b"" for m in messages])

    def _watermarks(self) -> dict[int, tuple[int, int]]:
        ask = self._consumer.get_watermark_offsets
        return {p: ask(TopicPartition(self.topic, p), timeout=_WAIT_S) for p in self._partitions}

    def _merged(self) -> Iterator[Any]:
        """Messages in the order of their times, as far as each partition is in order."""
        while True:
            while any(not held and self._next[p] < self._bounds[p][1] for p, held in self._held.items()):
                self._tried(self._fetch)
            heads = [(held[0].timestamp()[1], p) for p, held in self._held.items() if held]
            if not heads:
                return
            yield self._held[min(heads)[1]].popleft()

    def _fetch(self, again: bool) -> None:
        """Some more messages of the partitions that have not been read to their end."""
        if again or not self._assigned:
            left = [(p, at) for p, at in self._next.items() if at < self._bounds[p][1]]
            self._consumer.assign([TopicPartition(self.topic, p, at) for p, at in left])
            self._assigned = True
        first = self._consumer.poll(_WAIT_S)
        if first is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        for message in (first, *self._consumer.consume(1000, 0)):
            p, offset = message.partition() or 0, message.offset() or 0  # None is that of an error
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:  # what is left are no messages
                self._next[p] = max(self._next[p], self._bounds[p][1])
            elif error is not None:
                raise KafkaException(error)
            elif self._next[p] <= offset < self._bounds[p][1]:
                self._held[p].append(message)
                self._next[p] = offset + 1
