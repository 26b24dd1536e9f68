"""`tidegate brief`: an incident as a person has to judge it, on a terminal, as Markdown or as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from diagnosis import Briefing, Known, as_html, as_markdown, bar, brief
from schemas import Anomaly, Diagnosis
from schemas.core import NS
from tidegate import _history, _run
from tidegate._commands import Config, Json, say
from tidegate._commands_context import found_for
from tidegate._settings import Settings
from tidegate._show import console

FORMS = ("text", "markdown", "html")
AROUND_NS = 180 * NS
"""So long before the opening a business metric may have moved; as far as diagnosis looks back."""


def register(app: typer.Typer) -> None:
    app.command("brief")(brief_command)


def briefing_of(kept: _run.Kept, name: str, context: str = "") -> Briefing:
    """The briefing of an incident, named as `tidegate explain` takes it. Raises NotFoundError, RunError.

    context: the store that is searched for what may help.
    """
    diagnosis, _ = _run.find(kept, name)
    identity = diagnosis.incident_id
    actions = tuple(event for event in kept.actions if event.incident_id == identity)
    found = found_for(context, diagnosis) if context else None
    incident = kept.incidents.get(identity)
    business = business_of(kept, diagnosis)
    return brief(Known(diagnosis, incident, actions, kept.changes, tuple(kept.edges), found, business))


def business_of(kept: _run.Kept, diagnosis: Diagnosis) -> tuple[Anomaly, ...] | None:
    """Anomalies of business metrics around an incident; None where no metric of that kind was ever seen to move."""
    last = {a.id: a for a in kept.anomalies if a.signal == "business" and a.tenant == diagnosis.tenant}
    since, until = diagnosis.opened_ns - AROUND_NS, diagnosis.as_of_ns
    found = (a for a in last.values() if a.status != "withdrawn" and since <= a.end_ns and a.start_ns <= until)
    return tuple(found) if last else None


def show_briefing(out: Console, briefing: Briefing) -> None:
    """Plain lines; bars as characters."""
    out.print(f"[bold]{escape(briefing.headline)}[/bold]")
    for section in briefing.sections:
        out.print(f"\n[bold]{section.title}[/bold]")
        for line in section.lines:
            out.print(f"  {'    ' * line.depth}{escape(line.text)}")
            if line.bar is not None:
                out.print(f"     {escape(bar(line))}")


def brief_command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Incident, diagnosis or action; the beginning is enough; without one, the most severe incident.",
        ),
    ] = "",
    run: Annotated[
        Path, typer.Option("--run", help="Directory of a run, or of the log of a running `up`.", show_default=True)
    ] = _run.NEWEST,
    brokers: Annotated[
        str, typer.Option("--brokers", help="HOST:PORT,HOST:PORT: of what lies on Kafka, not of a run.")
    ] = "",
    settings: Config = None,
    form: Annotated[str, typer.Option("--format", help="text, markdown or html.")] = "text",
    out: Annotated[Path | None, typer.Option("--out", help="A file to write instead of the terminal.")] = None,
    context: Annotated[
        str, typer.Option("--context", help="A context store to search, see `tidegate context build`.")
    ] = "",
    json_: Json = False,
) -> None:
    """What broke, since when, why, what speaks for and against it, what is not known, and what is proposed."""
    if form not in FORMS:
        raise typer.BadParameter(f"'{form}' is none of {', '.join(FORMS)}", param_hint="--format")
    kept = _history.kept(Settings.read(settings), brokers, name) if brokers else _run.read(run)
    found = briefing_of(kept, name, context)
    if json_:
        say(document(found))
        return
    if form == "text" and out is None:
        show_briefing(console(), found)
        return
    text = {"markdown": as_markdown, "html": as_html}.get(form, _as_text)(found)
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
        typer.echo(f"written to {out}")


def document(briefing: Briefing) -> dict[str, object]:
    """The same for a machine."""
    sections = [
        {"title": section.title, "lines": [
            {"text": line.text, "bar": line.bar, "interval": line.interval, "depth": line.depth}
            for line in section.lines]}
        for section in briefing.sections
    ]  # fmt: skip
    return {"incident": briefing.incident_id, "headline": briefing.headline, "sections": sections}


def _as_text(briefing: Briefing) -> str:
    out = Console(file=None, width=200, highlight=False, soft_wrap=True, no_color=True)
    with out.capture() as captured:
        show_briefing(out, briefing)
    return captured.get()
