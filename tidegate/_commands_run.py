"""The command `run`: stages of the pipeline as a process on Kafka."""

import gc
import os
import socket
import sys
from typing import Annotated, Any

import structlog
import typer

from tidegate import __version__, _as_of_kafka
from tidegate._broker_watch import BrokerWatch
from tidegate._commands import Config, Json, say
from tidegate._log import log_to_stderr
from tidegate._memory import save_memory
from tidegate._monitor import Monitor
from tidegate._pipeline import ORDER
from tidegate._settings import Settings
from tidegate._shards import Shards, deployment
from tidegate._signals import stop_when_told
from tidegate._warm import warm

_ERRORS = {"batches missing", "records were lost to retention"}
_WARNINGS = {
    "snapshot unusable", "kafka was in trouble", "offsets were not committed", "metrics not served",
    "heartbeat not taken", "not kept what is in force",
}  # fmt: skip
_GARBAGE = 20_000
"""Objects more than freed after which cycles are looked for: a batch of messages is thousands, and makes none."""
Brokers = Annotated[str, typer.Option("--brokers", help="HOST:PORT,HOST:PORT of Kafka; wins over kafka.brokers.")]


def register(app: typer.Typer) -> None:
    app.command("run")(run)


def run(
    stages: Annotated[
        list[str] | None, typer.Argument(help=f"Of this process; all if none: {', '.join(ORDER)}.")
    ] = None,
    brokers: Brokers = "",
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Forget the snapshots: make the state again from the topics.")
    ] = False,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """The pipeline on Kafka: run it as often as there is work; each process takes its share. SIGTERM stops it."""
    is_for_people = sys.stderr.isatty() and not json_
    log_to_stderr(for_people=is_for_people)
    process = f"{socket.gethostname()}-{os.getpid()}"
    log = structlog.get_logger().bind(process=process, version=__version__)
    stop = stop_when_told()
    found = Settings.read(settings)
    found.kafka.register_schemas()
    save_memory()
    deployed = deployment(found, brokers=brokers)

    def event(text: str, **facts: Any) -> None:
        (log.error if text in _ERRORS else log.warning if text in _WARNINGS else log.info)(text, **facts)

    _as_of_kafka.tell(found, deployed, event)
    warm((stage for stage in deployed.pipeline.stages if not stages or stage.name in stages), deployed.streams)
    shards = Shards(found, deployed, stages or (), rebuild=rebuild, say=event)
    names = [worker.stage.name for worker in shards.workers]
    topics = {topic for worker in shards.workers for topic in worker.stage.inputs}
    facts = {"process": process, "version": __version__, "stages": names}
    with Monitor(
        found.shards, shards.observer, BrokerWatch(deployed.kafka, topics), facts=facts, say=event,
        shaped_by=deployed.shaped_by,
    ) as monitor:  # fmt: skip
        log.info(
            "process started", stages=names, partitions=deployed.partitions, brokers=deployed.kafka.brokers,
            metrics=monitor.url,
        )  # fmt: skip
        gc.freeze()  # what was made until here stays; the collector need not look at it again
        gc.set_threshold(_GARBAGE)
        shards.run(stop)
    log.info("process stopped")
    if json_:
        say({"stages": names})
