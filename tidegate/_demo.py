"""The demo: a simulated shop sends OTLP bytes, something happens, and the whole pipeline runs on a virtual clock.

Nothing is staged: the bytes go through the same sources, windows, detectors, ranking and policies as a replay, and the
run can be explained afterwards. Only the shop and its clock are simulated.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape

import schemas as sc
from schemas.core import NS, Message
from simulation import Day, days, shop
from streams import MemoryLog, Recording, RecordingWriter
from tidegate import __version__, _as_of, _pipeline, _replay, _run
from tidegate._errors import SettingsError
from tidegate._settings import Settings
from tidegate._show import cloud_event, console, show_action, show_incident

START_NS = 1_767_268_800 * NS
"""2026-01-01 12:00 UTC, the shop's noon."""
ONSET_S = 1200.0
"""When something happens."""
USUAL = "bad-deploy"


def listed() -> dict[str, str]:
    """What may happen, by the name that people type, and a line about each."""
    return {kind.replace("_", "-"): day.about for kind, day in days().items()}


def demo(seed: int, run_dir: Path, *, quiet: bool, day: str = USUAL) -> dict[str, Any]:
    """Run it, print it unless quiet, keep recording and run directory; returns the run's document.

    day: a name of `listed`. Raises SettingsError for another one.
    """
    today = _named(day)
    _run.claim(run_dir)
    out = console()
    recording = run_dir.parent / "demo-recording"
    if not quiet:
        out.print(
            "[bold]Tidegate demo[/bold]: a shop of eight services, 40 requests a second; "
            f"at {sc.rfc3339(START_NS + round(ONSET_S * NS))[11:19]} {today.begins}."
        )
    _record(seed, recording, today)
    opened = Recording.open(recording)
    pipeline = _pipeline.build(Settings())
    run = _replay.replay(_watched(opened, out, quiet), pipeline)
    _run.save(run, run_dir, _as_of.kept(Settings()))
    document = run.document()
    if not quiet:
        _tell(run, document, out, recording, run_dir)
    return document


def _named(name: str) -> Day:
    found = days().get(name.replace("-", "_"))
    if found is None:
        raise SettingsError(f"there is no day '{name}'", where="--day", todo=f"Days: {', '.join(listed())}")
    return found(ONSET_S)


def _record(seed: int, place: Path, today: Day) -> None:
    log = MemoryLog()
    if place.exists():
        for file in place.glob("*"):
            file.unlink()
    with RecordingWriter(place, created_by=f"tidegate {__version__} demo, {today.kind}, seed {seed}") as writer:
        for emit in shop(seed, START_NS, ONSET_S + today.lasts_s, fault=today):
            log.append([emit], writer="shop")
            for stored in log.read([emit.topic], log.last() - 1, 1):
                writer.append(stored.message)
            log.trim(log.last())


def _watched(recording: Recording, out: Any, quiet: bool) -> Iterator[Message]:
    """The messages, with a line every five minutes of shop time on the rate of telemetry."""
    count = size = before = 0
    step = 300 * NS
    due = START_NS + step
    for message in recording.messages():
        yield message
        count, size = count + 1, size + len(message.value)
        if message.event_ns >= due:
            if not quiet:
                rate = (size - before) / 300e3
                out.print(
                    f"{sc.rfc3339(due)[11:19]}  telemetry: {count:,} OTLP messages so far, {rate:.0f} kB/s of shop time"
                )
            due, before = due + step, size


def _series(labels: Mapping[str, str]) -> str:
    """Labels as people read them: of log lines their severity and place, without the whole template."""
    if "location" in labels:
        return f"{labels.get('severity', '')} {labels['location']}".strip()
    return ", ".join(f"{name}={value}" for name, value in labels.items())


def _tell(run: _replay.Run, document: dict[str, Any], out: Any, recording: Path, run_dir: Path) -> None:
    samples = document["samples"]
    out.print(
        f"decoded {samples['decoded']:,} samples, {run.ledger.counts['log_lines.decoded']:,} log lines, "
        f"{run.ledger.counts['spans.decoded']:,} spans: {run.event_time_s:,.0f} s of shop time in {run.cpu_s:.1f} CPU-s"
    )
    anomalies = [sc.read(m) for m in run.messages if m.topic == sc.ANOMALIES and sc.record_type(m) == "anomaly"]
    after = [a for a in anomalies if isinstance(a, sc.Anomaly) and a.end_ns > START_NS + ONSET_S * NS]
    if after:
        first = min(after, key=lambda a: (a.p_value >= 1e-6, a.end_ns, a.p_value))
        out.print(
            f"{sc.rfc3339(first.end_ns)[11:19]}  [bold]anomaly[/bold] {first.kind} of {first.service} "
            f"{escape(_series(first.labels))}: "
            f"{_number(first.observed)} where {_number(first.expected)} {escape(first.unit)} was expected, "
            f"p = {first.p_value:.1e}"
        )
    for incident in document["incidents"][:1]:
        show_incident(out, incident)
    if not document["incidents"]:
        out.print("No incident: nothing was improbable enough to call somebody.")
    out.print()
    for action in document["actions"][-1:]:  # of a cause that became clear later, the later one
        show_action(out, action)
    event = next((m for m in reversed(run.messages) if m.topic == sc.ACTIONS and sc.record_type(m) == "action"), None)
    if event is not None:
        record = sc.read(event)
        assert isinstance(record, sc.ActionEvent)
        headers = {name: value.decode() for name, value in event.headers}
        out.print("\n[bold]CloudEvent[/bold] on " + sc.ACTIONS + ":")
        out.print(escape(_short(cloud_event(record, headers))))
    why = "explain            how it came to that\n      tidegate " if document["incidents"] else ""
    out.print(
        f"\nNext: tidegate {why}replay {recording}   the same digest again: {run.digest[:19]}...\n"
        f"      tidegate doctor             what is here, what is missing\n"
        f"      tidegate up                 the same pipeline on your own telemetry, no broker\n"
        f"(run kept in {run_dir})"
    )


def _short(event: dict[str, Any]) -> str:
    """The event without its longest parts, which `explain` shows."""
    data = event["data"]
    hypothesis = data["hypothesis"]
    kept = {
        **{k: v for k, v in event.items() if k != "data"},
        "data": {
            "state": data["state"], "change": data["change"],
            "hypothesis": {"cause": hypothesis["cause"], "confidence": hypothesis["confidence"],
                           "confidence_state": hypothesis["confidence_state"]},
            "evidence": data["evidence"][:1], "decision": data["decision"],
        },
    }  # fmt: skip
    return json.dumps(kept, indent=2)


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{0.0 if abs(value) < 1e-9 else value:.4g}"
