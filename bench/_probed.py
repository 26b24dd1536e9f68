"""`tidegate` as it is, which also tells how long each control record lay on Kafka before its stage had it.

    python -m bench._probed FILE run diagnose --settings F

FILE gets a line a record, also of OTLP metrics for contrast: topic, when Kafka says it was written (ms), when it was
handed to the stage (ms).
"""

import sys
import time
from pathlib import Path
from typing import Any

import schemas as sc
from streams import _kafka_worker

TOPICS = frozenset(
    {sc.OTLP_METRICS, sc.CHANGES, sc.ANOMALIES, sc.INCIDENTS, sc.DIAGNOSES, sc.TOPOLOGY, sc.CALENDAR, sc.ALERTS}
)


def main() -> None:
    out = Path(sys.argv[1]).open("w", buffering=1)  # noqa: SIM115  # for as long as the process lives
    worker: Any = _kafka_worker
    plain = worker.to_message

    def probed(message: Any, topic: str) -> Any:
        if topic in TOPICS:
            out.write(f"{topic} {message.timestamp()[1]} {time.time() * 1000:.0f}\n")
        return plain(message, topic)

    worker.to_message = probed
    sys.argv[:2] = ["tidegate"]
    from tidegate.cli import main as run

    run()


if __name__ == "__main__":
    main()
