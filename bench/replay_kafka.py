"""Replay from Kafka: `event_time_s / cpu_s` of 1,000 series every 10 s for 6 h with three incidents, to decisions.

The topics are filled once, by the stages that run on Kafka, and that is not counted; then they are read, merged and
replayed from the stage that is asked for. CPU is that of the whole process, librdkafka's threads included, from the
first message to the last. Without brokers the Kafka of the tests is started:
`python -m bench.replay_kafka [--from-stage detect] [--brokers B] [--check] [--json]`.
"""

import argparse
import json
import random
import sys
from contextlib import nullcontext
from pathlib import Path
from time import monotonic
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.shards import Shards

import schemas as sc
from bench.replay import messages
from schemas.core import Emit
from streams import KafkaSettings, Stretch, kafka, real_name
from streams._kafka_messages import headers_of, played_headers
from tidegate import _history, _pipeline, _replay
from tidegate._settings import Settings

BEFORE = {"normalise": 0, "derive-logs": 1, "detect": 3}
"""How many stages write what a replay from this one reads."""


def fill(settings: Settings, plain: KafkaSettings, series: int, hours: float) -> int:
    """Put the source messages, and what the stages before detect make of them, on Kafka; returns how many records."""
    partitions = settings.streams.partitions
    kafka.create(kafka.admin(plain), plain, partitions)
    sources = dict.fromkeys((sc.OTLP_METRICS, sc.OTLP_LOGS, sc.OTLP_SPANS, sc.RAW), 1)
    stages = _pipeline.build(settings).stages
    shards = Shards(
        stages[:3], partitions=partitions, sources=dict.fromkeys(sources, partitions), sharded=_pipeline.SHARDED,
        rng=random.Random(1), save=0.0,
    )  # fmt: skip
    shards.topics.feed(messages(series, hours), partitions)
    shards.silence()
    shards.run()
    rows, count = [], 0
    for place, log in shards.topics.logs.items():
        newest = 0
        for message in log:
            newest = max(newest, message.event_ns)
            rows.append((newest, place, message))
    sender = kafka.producer(plain)
    for _, (topic, partition), message in sorted(rows, key=lambda row: row[:2]):
        ours = Emit(topic, message.key, message.value, message.headers, message.event_ns)
        headers = played_headers(message) if topic in sources else headers_of(ours)
        while True:
            try:
                sender.produce(
                    real_name(topic, plain.prefix), message.value, message.key or None, partition, headers=headers
                )
                break
            except BufferError:
                sender.poll(0.1)
        sender.poll(0)
        count += 1
    assert sender.flush(120) == 0
    return count


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--series", type=int, default=1000)
    options.add_argument("--hours", type=float, default=6.0)
    options.add_argument("--partitions", type=int, default=1)
    options.add_argument("--from-stage", choices=list(BEFORE), default="detect")
    options.add_argument("--brokers", default="", help="of a cluster without topics of collectors")
    options.add_argument("--check", action="store_true", help="compare the digest with that of the source bytes")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    with _brokers(chosen.brokers) as brokers:
        row = measure(chosen, brokers)
    if not chosen.json:
        for name, value in row.items():
            print(f"{name:<20}{value}")
    print(json.dumps(row))
    if row.get("is_equal") is False:
        sys.exit(4)


def measure(chosen: argparse.Namespace, brokers: str) -> dict[str, Any]:
    settings = Settings.model_validate({
        "streams": {"partitions": chosen.partitions}, "kafka": {"brokers": brokers, "prefix": "bench-replay"},
    })  # fmt: skip
    _replay.replay(messages(100, 0.05), _pipeline.build(Settings()))  # compiles what numba compiles
    records = fill(settings, settings.kafka.plain(), chosen.series, chosen.hours)
    started = monotonic()
    run = _history.replay(
        _pipeline.build(settings, first=chosen.from_stage), settings, "", Stretch(), quiet=chosen.json
    )
    wall_s = monotonic() - started
    row = {
        "from_stage": chosen.from_stage, "series": chosen.series, "hours": chosen.hours,
        "partitions": chosen.partitions, "records": records, "samples": run.document()["samples"]["processed"],
        "event_time_s": round(run.event_time_s), "cpu_s": round(run.cpu_s, 2), "wall_s": round(wall_s, 2),
        "speed": round(run.event_time_s / run.cpu_s), "incidents": len(run.diagnoses),
        "actions": len(run.document()["actions"]),
        "digest": run.digest,
    }  # fmt: skip
    if chosen.check:
        whole = _replay.replay(messages(chosen.series, chosen.hours), _pipeline.build(Settings()))
        row["is_equal"] = whole.digest == run.digest
    return row


def _brokers(named: str) -> Any:
    if named:
        return nullcontext(named)
    from support.kafka import Broker

    class Started(Broker):
        def __enter__(self) -> str:  # type: ignore[override]
            return super().__enter__().bootstrap

    return Started()


if __name__ == "__main__":
    main()
