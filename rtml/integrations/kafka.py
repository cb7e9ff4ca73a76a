"""Kafka: the event log on topics of one partition each (``kafka://HOST:9092``, over ``confluent-kafka``).

A topic is a part, a message a block of rows that is written idempotently and acknowledged by all replicas. Of a part
one process writes at a time: Kafka has no append that depends on what is there. Topics are made so that nothing in them
is ever dropped; with ``?topics=auto`` the cluster makes them itself, as it is set up.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from rtml.integrations.block_log import MessageLog

_FOR_EVER = {"retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": "2000000"}
_WAIT_S = 5.0


class EventLog(MessageLog):
    """The event log on a Kafka cluster; topics are called NAME.PART."""

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
