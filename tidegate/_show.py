"""What people see of a run: short tables, plain words, no colour codes in pipes."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import schemas as sc
from tidegate._instances import silent_of
from tidegate._replay import Run, incidents_document

EVIDENCE_SHOWN = 3


def console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def show_run(run: Run, place: Path) -> None:
    """The result of a replay."""
    out = console()
    document = run.document()
    samples, messages = document["samples"], document["messages"]
    out.print(
        f"{messages['admitted']:,} messages ({messages['dead_lettered']:,} dead-lettered), "
        f"{samples['decoded']:,} samples "
        f"({samples['late']:,} late, {samples['duplicate']:,} duplicate, {samples['rejected']:,} rejected), "
        f"{run.event_time_s:,.0f} s of event time in {run.cpu_s:.1f} CPU-s"
    )
    if silent := silent_of(run.messages).sentence():
        out.print(escape(silent))
    for incident in incidents_document(run.diagnoses.values(), run.incidents)[:5]:
        show_incident(out, incident)
    for action in document["actions"][:5]:
        show_action(out, action)
    out.print(f"digest {run.digest}")
    if run.diagnoses:
        out.print(f"Next: tidegate explain --run {place}")
    else:
        anomalies = sum(m.topic == sc.ANOMALIES and sc.record_type(m) == "anomaly" for m in run.messages)
        out.print(f"No incident was opened; {anomalies:,} windows were improbable on their own (kept in {place}).")


def show_incident(out: Console, incident: Mapping[str, Any], *, most: int = 3) -> None:
    """One incident with its ranked causes and their evidence."""
    out.print(
        f"\n[bold]Incident[/bold] {incident['id'][:8]}  opened {incident['opened'][:19]}Z  {escape(incident['title'])}"
    )
    if incident.get("suppressed_by"):
        out.print(f"  nobody is told: {escape(', '.join(incident['suppressed_by']))}")
    if incident["abstained"]:
        out.print(f"  no cause named: {incident['abstained']}")
    for rank, hypothesis in enumerate(incident["hypotheses"][:most], 1):
        cause = hypothesis["cause"]
        confidence = "null" if hypothesis["confidence"] is None else f"{hypothesis['confidence']:.2f}"
        head = f"{rank}. [bold]{escape(cause['entity'])}[/bold] ({cause['family']})  score {hypothesis['score']:.2f}"
        out.print(f"  {head}, confidence {confidence} ({hypothesis['confidence_state']})")
        for evidence in hypothesis["evidence"][:EVIDENCE_SHOWN]:
            sign = "+" if evidence["for"] else "-"
            out.print(f"       {sign}{abs(evidence['weight']):.2f}  {escape(evidence['text'])}")


def show_action(out: Console, action: Mapping[str, Any]) -> None:
    """One action and why it was decided so."""
    decision = action["decision"] or {}
    steps = [f"{step['verb']} on {escape(step['target'])}" for step in (action, *action["then"])]
    out.print(
        f"[bold]Action[/bold] {action['id'][:8]}  {', then '.join(steps)}: "
        f"{action['state']}, reason {decision.get('reason')}, rules {', '.join(decision.get('policies', []))}"
    )


def show_explanation(found: Mapping[str, Any]) -> None:
    out = console()
    out.print(f"[bold]{found['id']}[/bold] {escape(found['title'])}")
    for cause in found["causes"]:
        out.print(f"  {cause['entity']} ({cause['family']}): {escape(cause['reason'])}")
    counted = ("samples", "log_lines", "spans")
    rests = ", ".join(
        [*(f"{found[name]} {name.replace('_', ' ')}" for name in counted), f"{len(found['changes'])} changes"]
    )
    out.print(f"rests on {rests} in {found['evidence']} pieces of evidence")
    if found["policies"]:
        out.print(
            f"decided {found['policies']['effect']} ({found['policies']['reason']}) "
            f"by {', '.join(found['policies']['matched'])}"
        )
    out.print("people: " + (", ".join(found["people"]) or "none asked"))
    for name, value in found["versions"].items():
        out.print(f"version {name} {value}")
    for name, value in found["ages_s"].items():
        out.print(f"age {name}: {value:.0f} s")


def show_letters(rows: Iterable[Mapping[str, Any]]) -> None:
    out = console()
    found = list(rows)
    if not found:
        out.print("No dead letters.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("reason", "source", "letters", "stands for", "example"):
        table.add_column(column, overflow="fold")
    for row in found:
        table.add_row(row["reason"], row["source"], str(row["letters"]), str(row["stands_for"]), escape(row["example"]))
    out.print(table)


def cloud_event(message: sc.ActionEvent, headers: Mapping[str, str]) -> dict[str, Any]:
    """The CloudEvent in structured form, as people read it."""
    attributes = {name.removeprefix("ce_"): value for name, value in headers.items() if name.startswith("ce_")}
    return {**attributes, "data": message.model_dump(mode="json")}


def show_trace(found: Mapping[str, Any]) -> None:
    """The hops of an incident, and whether the budgets were kept."""
    out = console()
    out.print(f"[bold]{found['incident']}[/bold] {escape(found['title'])}  trace {found['trace_id']}")
    table = Table("hop", "at", "took s", "since s", "of budget", box=None)
    for hop in found["hops"]:
        table.add_row(
            hop["hop"], hop["at"][:23] + "Z", f"{hop['took_s']:.3f}", f"{hop['since_s']:.3f}",
            f"{hop['share_of_budget']:.0%}",
        )  # fmt: skip
    out.print(table)
    for budget in found["budget"]:
        kept = "kept" if budget["is_kept"] else "exceeded"
        out.print(f"{budget['took_s']:.1f} s until the {budget['until']}, budget {budget['limit_s']:.0f} s: {kept}")
    for note in found["notes"]:
        out.print(f"note: {escape(note)}")
