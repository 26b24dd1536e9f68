"""Back from frames to what sources sent, where partitions of one source are read at different speeds."""

from collections.abc import Iterable, Iterator
from typing import Any, cast

import numpy as np
from support.pipeline import START_NS, recorded_shop

import schemas as sc
from schemas.core import NS, Emit, Message
from streams import FROM
from streams.sources.otlp_metrics import OtlpMetrics
from tidegate import _trace, _trace_kafka

ENTITY = "default/service/cart"
INCIDENT = sc.Incident(id="i", opened_ns=1, updated_ns=1, entities=[ENTITY], severity=9.0, title="cart: errors")


class Lies:
    """What lies on topics, as a history reads it."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = list(messages)

    def partitions(self) -> dict[str, int]:
        return {message.topic: 2 for message in self._messages}

    def messages(self, topics: Iterable[str], stretch: Any = None) -> Iterator[Message]:
        meant = set(topics)
        return (message for message in self._messages if message.topic in meant)


def way(series: int, start_ns: int, end_ns: int) -> _trace.Way:
    """The anomaly of one series in [start, end)."""
    identity = f"{series:016x}"
    pointer = sc.EvidencePointer(signal="metrics", subject=identity, t_min_ns=start_ns, t_max_ns=end_ns, sha256="a")
    first = sc.Anomaly(
        id="a", entity_id=ENTITY, service="cart", series=identity, name="errors", signal="metrics", kind="metric",
        detector="t@1", start_ns=start_ns, end_ns=end_ns, observed=9.0, expected=1.0, residual=8.0, unit="1",
        p_value=1e-9, pointer=pointer,
    )  # fmt: skip
    return _trace.Way(INCIDENT, [], first)


def framed(wall_s: float, writer: str) -> Message:
    emit = Emit(sc.FRAMES, b"", b"", ((FROM, writer.encode()),), 1, 0)
    return Message(emit.topic, 0, 1, emit.key, emit.value, emit.headers, 1, START_NS + round(wall_s * NS))


def test_the_window_waited_for_the_newest_message_of_all_partitions_of_a_source() -> None:
    """Partition 0 is read slowly: its frame is written last, but its points are older than those of partition 1."""
    sent = [m for m in recorded_shop() if m.topic == sc.OTLP_METRICS and not sc.record_type(m)]
    old = next(m for m in sent if m.partition == 0 and m.received_ns > START_NS + 120 * NS)
    new = next(m for m in sent if m.partition == 1 and m.received_ns > old.received_ns)
    points = [OtlpMetrics().decode(message).points for message in (old, new)]
    series = int(np.intersect1d(points[0].series, points[1].series)[0])
    found = way(series, START_NS + 60 * NS, int(points[1].t.max()) + 1)
    frames = {name: framed(wall_s, name) for wall_s, name in
              ((1e4, "normalise@otlp_metrics/1"), (2e4, "normalise@otlp_metrics/0"))}  # fmt: skip
    hops = list(_trace_kafka.before(cast(Any, Lies(sent)), found, frames))
    assert [(hop.name, hop.at_ns) for hop in hops] == [("received", new.received_ns)]
    slow = {name: frame for name, frame in frames.items() if name.endswith("/0")}
    assert next(_trace_kafka.before(cast(Any, Lies(sent)), found, slow)).at_ns == old.received_ns
