"""Replay: recorded messages through the very stages that run live, in one process, with bounded buffers.

The digest of a run is SHA-256 over RFC 8785 lines of the last revision of each incident's diagnosis and of each
decision, sorted by id, floats to twelve significant digits: nothing in it depends on offsets, hosts, speed or clocks.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import schemas as sc
from schemas.core import NS, Message
from streams import FROM, SOURCES, Engine, Ledger, MemoryLog, RecordingError, report
from tidegate._pipeline import Pipeline, ledger_of

KEPT = (
    sc.ANOMALIES, sc.TOPOLOGY, sc.CHANGES, sc.CALENDAR, sc.ALERTS, sc.INCIDENTS, sc.DIAGNOSES, sc.ACTIONS,
    sc.DEAD_LETTERS,
)  # fmt: skip
"""What a run leaves behind, for `explain` and for people."""

REFERENCE = (sc.CHANGES, sc.CALENDAR, sc.TOPOLOGY)
"""Topics that normalise writes and that others may write too."""
_BATCH = 512
Progress = Callable[[int, int], None]
"""Messages fed so far, event time reached in ns."""


@dataclass(slots=True)
class Run:
    """What a run produced."""

    diagnoses: dict[str, sc.Diagnosis] = field(default_factory=dict)
    """Last revision by incident."""
    incidents: dict[str, sc.Incident] = field(default_factory=dict)
    actions: list[sc.ActionEvent] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    messages: list[Message] = field(default_factory=list)
    event_time_s: float = 0.0
    cpu_s: float = 0.0
    versions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        lines = [(d.id, d.model_dump(mode="json")) for d in self.diagnoses.values()]
        lines += [(a.id, a.model_dump(mode="json")) for a in self.actions if a.decision]
        body = b"\n".join(sc.canonical(sc.rounded(line)) for _, line in sorted(lines, key=lambda pair: pair[0]))
        return sc.sha256(body)

    def document(self) -> dict[str, Any]:
        """The JSON object that `tidegate replay --json` prints."""
        return {
            "digest": self.digest, **report(self.ledger), "event_time_s": round(self.event_time_s, 3),
            "cpu_s": round(self.cpu_s, 3),
            "speed": round(self.event_time_s / self.cpu_s, 1) if self.cpu_s > 0 else None,
            "incidents": incidents_document(self.diagnoses.values(), self.incidents),
            "actions": actions_document(self.actions), "versions": dict(self.versions),
        }  # fmt: skip


def replay(
    messages: Iterable[Message], pipeline: Pipeline, *, partitions: int = 1, since_ns: int = 0,
    on_progress: Progress | None = None, keep: Sequence[str] = KEPT,
) -> Run:  # fmt: skip
    """Run messages, in the order given, through the pipeline; CPU is counted from the first message to the last.

    since_ns: where a replay of a stretch begins; older reference data is taken whoever made it. keep: topics whose
    messages are in the result.
    """
    log = MemoryLog(partitions, keep=keep)
    engine = Engine(log, pipeline.stages, partitions=partitions, outside=pipeline.outside, is_batched=True)
    wanted = {topic for runner in engine.runners for topic in runner.stage.inputs}
    made = {topic for runner in engine.runners for topic in runner.stage.outputs}
    running = frozenset(runner.stage.name for runner in engine.runners)
    run = Run(versions=pipeline.versions)
    started = time.process_time()
    batch: list[Message] = []
    fed, first, last = 0, 0, 0

    def flush() -> None:
        log.feed(batch, writer=SOURCES)
        batch.clear()
        engine.run()
        log.trim(log.last())

    for message in messages:
        if message.topic not in wanted or (message.topic in made and _is_made_again(message, running, since_ns)):
            continue  # what a stage of this run makes again does not come from the recording of another run
        if not sc.record_type(message) and message.event_ns > 0:
            is_raw = sc.TOPICS[message.topic].content == "source"
            first = min(first or message.event_ns, message.event_ns)
            last = max(last, message.received_ns if is_raw else message.event_ns)
        batch.append(message)
        fed += 1
        if len(batch) >= _BATCH:
            flush()
            if on_progress:
                on_progress(fed, last)
    flush()
    run.cpu_s = time.process_time() - started
    if not fed:
        raise RecordingError(
            f"nothing to replay: no message on {', '.join(sorted(wanted))}", code="RECORDING_EMPTY",
            todo="Choose another --from-stage, or record the topics that this stage reads",
        )  # fmt: skip
    run.event_time_s = (last - first) / NS
    run.ledger = ledger_of(engine.runners)
    run.messages = [message for topic in keep for message in log.messages(topic)]
    collect(run, run.messages)
    return run


def _is_made_again(message: Message, running: frozenset[str], since_ns: int) -> bool:
    """Whether a stage of this run makes it. Changes, calendar entries and edges may have been put there by others.

    Where the log does not say which task wrote a record, a record of a topic that stages write is taken for theirs.
    """
    is_mark = sc.record_type(message) == "watermark"
    writer = message.key.decode("utf-8", "replace") if is_mark else message.header(FROM)
    if message.topic in REFERENCE and message.event_ns < since_ns and not is_mark:
        return False
    if "@" in writer:
        return writer.partition("@")[0] in running
    return message.topic not in REFERENCE or message.header("ce_source").startswith("tidegate/")


def collect(run: Run, messages: Iterable[Message]) -> None:
    """Take the incidents, diagnoses and actions out of messages, each once; the last revision stands.

    A log that delivers twice may repeat an old revision after a newer one, so they are taken by event time.
    """
    wanted = (m for m in messages if m.topic in (sc.INCIDENTS, sc.DIAGNOSES, sc.ACTIONS))
    by_id = {(m.topic, m.header("ce_id")): m for m in wanted if sc.record_type(m) != "watermark"}
    for message in sorted(by_id.values(), key=lambda m: m.event_ns):
        record = sc.read(message)
        if isinstance(record, sc.Diagnosis):
            run.diagnoses[record.incident_id] = record
        elif isinstance(record, sc.Incident):
            run.incidents[record.id] = record
        elif isinstance(record, sc.ActionEvent):
            run.actions.append(record)


def incidents_document(diagnoses: Iterable[sc.Diagnosis], incidents: Mapping[str, sc.Incident]) -> list[dict[str, Any]]:
    """Incidents with their ranked hypotheses, most severe first, then oldest."""
    ordered = sorted(diagnoses, key=lambda d: (-d.severity, d.opened_ns, d.incident_id))
    return [
        {
            "id": d.incident_id, "opened": sc.rfc3339(d.opened_ns), "entities": d.entities, "severity": d.severity,
            "title": incidents[d.incident_id].title if d.incident_id in incidents else "", "abstained": d.abstained,
            "suppressed_by": d.suppressed_by, "hypotheses": [h.model_dump(mode="json") for h in d.hypotheses],
        }
        for d in ordered
    ]  # fmt: skip


def actions_document(actions: Iterable[sc.ActionEvent]) -> list[dict[str, Any]]:
    """Each action in the state that it reached."""
    last: dict[str, sc.ActionEvent] = {}
    for event in actions:
        last[event.action_id] = event
    return [
        {
            "id": e.action_id, "verb": e.change.verb, "target": e.change.target, "state": e.state,
            "then": [{"verb": step.change.verb, "target": step.change.target} for step in e.then],
            "decision": e.decision and e.decision.model_dump(mode="json", include={"effect", "reason", "policies"}),
            "change": e.change.model_dump(mode="json"), "incident_id": e.incident_id,
        }
        for e in last.values()
    ]  # fmt: skip
