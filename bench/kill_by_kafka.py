"""How long an order to stop that is given through Kafka takes to bind a worker: `python -m bench.kill_by_kafka`.

A real broker, the production worker with its own feed, gateway and ledger, this machine's clock. Signed orders are
written one by one at random moments, each of another scope. Timed, wall: from Kafka's acknowledgement of the order to
the moment from which the worker's switch covers it (it is looked at before each permit and right before each effect is
asked for, so nothing forward leaves afterwards). The way by file and by the gateway's own file is that of `bench.act`.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.act_place import gateway_of, order, repository, run  # noqa: E402
from support.kafka import Broker  # noqa: E402

from bench._processes import quantile  # noqa: E402
from bench.simulation import commit  # noqa: E402
from schemas import CONTROL, emit  # noqa: E402
from streams import KafkaSettings, kafka, real_name  # noqa: E402
from streams._kafka_messages import headers_of  # noqa: E402
from tidegate._act_kafka import KafkaFeed  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    load = os.getloadavg()[0]
    with Broker() as broker, tempfile.TemporaryDirectory() as place:
        waits = measured(Path(place), broker, told.orders)
    document = {
        "command": f"python -m bench.kill_by_kafka --orders {told.orders}", "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(), "orders": len(waits), "p50_s": quantile(waits, 0.5),
        "p99_s": quantile(waits, 0.99), "max_s": max(waits), "bar_p99_s": 2.0, "bar_max_s": 5.0,
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
    }  # fmt: skip
    document |= {name: round(float(document[name]), 3) for name in ("p50_s", "p99_s", "max_s")}  # type: ignore[arg-type]
    if told.out:
        told.out.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document))
    return 1 if max(waits) > 5.0 else 0


def measured(place: Path, broker: Any, count: int) -> list[float]:
    settings, random, waits = KafkaSettings(brokers=broker.bootstrap, prefix=f"kill{time.time_ns()}"), Random(1), []
    kafka.create(kafka.admin(settings), settings)
    repository(place)
    producer = kafka.producer(settings)

    async def scene(worker: Any) -> None:
        for number in range(count):
            await asyncio.sleep(random.random())
            stop = order(scope=f"verb:bench.v{number}")
            one = emit(CONTROL, stop, id=stop.id, key="all", source="tidegate/on-call", event_ns=stop.issued_ns)
            producer.produce(real_name(CONTROL, settings.prefix), one.value, one.key, 0, headers=headers_of(one))
            if await asyncio.to_thread(producer.flush, 20.0):
                raise RuntimeError("Kafka did not take the order")
            began = time.monotonic()
            while f"verb:bench.v{number}" not in worker.orders.look().scopes:
                await asyncio.sleep(0.005)
            waits.append(time.monotonic() - began)

    with gateway_of(place):
        run(place, scene, lambda positions: KafkaFeed(settings, positions, time.time_ns()))
    return waits


if __name__ == "__main__":
    sys.exit(main())
