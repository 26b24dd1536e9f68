"""`tidegate label`: what the cause turned out to be. `tidegate calibration`: whether confidences held, and refitting.

A confidence is judged as it was said, before its label was known; that is honest without holding anything out. A fit
takes the shipped curve and moves it by a tenant's own outcomes, as far as there are many; from fifty on it is `OWN`.
"""

import getpass
import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

import schemas as sc
from learning import GATE, OWN_OUTCOMES, Coverage, Curves, Judged, coverage, curves, judged, shrunk
from schemas import why
from tidegate import _pipeline, _run
from tidegate._commands import Config, Json, say
from tidegate._errors import NotFoundError, SettingsError
from tidegate._labels import Place, Told, by_tenant, label_of, labels_of_tickets
from tidegate._reliability_svg import scores, svg_of
from tidegate._settings import Settings
from tidegate._show import console

RunOrLog = Annotated[Path, typer.Option("--run", help="A run directory, or the --dir of `up`, also while it runs.")]
OnKafka = Annotated[str, typer.Option("--brokers", help="HOST:PORT,HOST:PORT: what lies on Kafka, not in a run.")]
_CELLS = 20
_SAFE = re.compile(r"[^A-Za-z0-9_-]")


def register(app: typer.Typer) -> None:
    app.command("label")(label)
    group = typer.Typer(no_args_is_help=True, help="Whether confidences hold, and refitting them on own outcomes.")
    group.command("show")(show)
    group.command("fit")(fit)
    app.add_typer(group, name="calibration")


def label(
    name: Annotated[str, typer.Argument(metavar="ID", help="Incident; the beginning of its id is enough.")] = "",
    cause: Annotated[str, typer.Option("--cause", help="The service that was the cause.")] = "",
    family: Annotated[str, typer.Option("--family", help="What it was: code, change, memory, network, ...")] = "",
    not_cause: Annotated[str, typer.Option("--not", help="A service that was not the cause.")] = "",
    no_fault: Annotated[bool, typer.Option("--no-fault", help="Nothing was wrong.")] = False,
    unknown: Annotated[bool, typer.Option("--unknown", help="It was looked into, and nobody found out.")] = False,
    tickets: Annotated[
        Path | None, typer.Option("--tickets", help="Resolved tickets, one JSON object a line, instead of an ID.")
    ] = None,
    by: Annotated[str, typer.Option("--by", envvar="TIDEGATE_PERSON", help="Who says so; else the user.")] = "",
    elsewhere: Annotated[
        bool, typer.Option("--elsewhere", help="The cause is nothing that telemetry knows of.")
    ] = False,
    run: RunOrLog = _run.NEWEST,
    brokers: OnKafka = "",
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Say what the cause of an incident turned out to be; calibration and ranking learn from nothing else."""
    place = Place(run, Settings.read(settings), brokers)
    told = place.read()
    unmatched: dict[str, str] = {}
    if tickets is not None:
        if name:
            raise SettingsError("--tickets names incidents itself", todo="Leave the ID out")
        try:
            text = tickets.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise SettingsError(f"the tickets cannot be read: {why(error)}", where=str(tickets)) from error
        matched = labels_of_tickets(told.kept, text.splitlines(), str(tickets))
        known = {label.id for label in told.labels}
        labels, unmatched = [one for one in matched.labels if one.id not in known], matched.unmatched
    else:
        verdict, entity = _verdict(cause, not_cause, no_fault, unknown)
        if not name:
            raise SettingsError("no incident is named", todo=f"Incidents: {', '.join(sorted(told.kept.diagnoses))}")
        labels = [
            label_of(
                told.kept, name, verdict, entity=entity, family=family, said_by=by or getpass.getuser(),
                is_elsewhere=elsewhere,
            )
        ]  # fmt: skip
    if labels:
        place.write(labels, time.time_ns())
    found = coverage(told.kept.diagnoses, [*told.labels, *labels])
    if json_:
        written = [one.model_dump(mode="json") for one in labels]
        say({"labels": written, "unmatched": unmatched, "coverage": _coverage(found)})
        return
    for one in labels:
        typer.echo(f"{one.incident_id[:8]}: {one.verdict.replace('_', ' ')} {one.entity}".rstrip() + f", {one.said_by}")
    for number, reason in unmatched.items():
        typer.echo(f"ticket {number}: not used, {reason}")
    typer.echo(_sentence(found))


def _verdict(cause: str, not_cause: str, no_fault: bool, unknown: bool) -> tuple[sc.Verdict, str]:
    said: list[tuple[sc.Verdict, str]] = []
    if cause:
        said.append(("cause", cause))
    if not_cause:
        said.append(("not_cause", not_cause))
    if no_fault:
        said.append(("no_fault", ""))
    if unknown:
        said.append(("unknown", ""))
    if len(said) != 1:
        todo = "One of --cause SERVICE, --not SERVICE, --no-fault, --unknown"
        raise SettingsError("nothing is said of the cause" if not said else "more than one thing is said", todo=todo)
    return said[0]


def show(
    run: RunOrLog = _run.NEWEST,
    brokers: OnKafka = "",
    tenant: Annotated[str, typer.Option("--tenant", help="Only this tenant.")] = "",
    svg: Annotated[Path | None, typer.Option("--svg", help="Draw it; with several tenants, of all together.")] = None,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Of what was said at 0.8, how much was right: bins, ECE, Brier score and risk by coverage, with intervals."""
    told = Place(run, Settings.read(settings), brokers).read()
    tenants = by_tenant(told.kept.diagnoses)
    if tenant and tenant not in tenants:
        raise NotFoundError(f"no incident is of tenant '{tenant}'", todo=f"Tenants: {', '.join(tenants) or 'none'}")
    chosen = {name: tenants[name] for name in tenants if not tenant or name == tenant}
    rows = {name: _told(diagnoses, told) for name, diagnoses in chosen.items()}
    together = [one for _, judged_, _ in rows.values() for one in judged_]
    drawn = _curves(together)
    if svg is not None:
        if drawn is None:
            todo = "Say what causes turned out to be: `tidegate label ID --cause SERVICE`"
            raise NotFoundError("no confidence can be judged yet, so there is nothing to draw", todo=todo)
        svg.write_text(svg_of(drawn, f"Confidence of {tenant or 'all tenants'}, as it was said"), encoding="utf-8")
    if json_:
        say({"tenants": {name: _document(*row) for name, row in rows.items()}, "all": _document(*_all(rows), drawn)})
        return
    for name, row in rows.items():
        _print(name, *row)
    if svg is not None:
        typer.echo(f"drawn in {svg}")


Row = tuple[Coverage, list[Judged], Curves | None]


def _told(diagnoses: dict[str, sc.Diagnosis], told: Told) -> Row:
    found = judged(diagnoses, told.labels)
    return coverage(diagnoses, told.labels), found, _curves(found)


def _all(rows: dict[str, Row]) -> tuple[Coverage, list[Judged]]:
    covered = [row[0] for row in rows.values()]
    bases: dict[str, int] = {}
    for one in covered:
        for basis, n in one.by_basis.items():
            bases[basis] = bases.get(basis, 0) + n
    whole = Coverage(
        sum(one.incidents for one in covered), sum(one.labelled for one in covered),
        sum(one.judging for one in covered), bases,
    )  # fmt: skip
    return whole, [one for row in rows.values() for one in row[1]]


def _curves(found: list[Judged]) -> Curves | None:
    said = [(one.confidence, one.outcome.is_right) for one in found if one.confidence is not None]
    return curves([p for p, _ in said], [right for _, right in said]) if said else None


def _coverage(found: Coverage) -> dict[str, Any]:
    return {**found._asdict(), "share": found.share}


def _document(covered: Coverage, found: list[Judged], drawn: Curves | None) -> dict[str, Any]:
    own = [one for one in found if one.state == "OWN"]
    document: dict[str, Any] = {
        "coverage": _coverage(covered), "outcomes": len(found), "said_by_own_map": len(own),
        "state": _state(found), "needed_for_own": max(OWN_OUTCOMES - len(found), 0),
    }  # fmt: skip
    if drawn is not None:
        said = drawn.reliability
        document |= {
            "n": said.n, "ece": said.ece, "ece_interval": list(said.interval), "brier": said.brier,
            "brier_interval": list(drawn.brier_interval), "brier_of_the_mean": said.base,
            "bins": [{"said": one.said, **one.right._asdict()} for one in drawn.bins],
            "risk_coverage": [
                {"coverage": one.coverage, "least": one.least, "wrong": one.wrong._asdict()} for one in drawn.risks
            ],
            "gate": {"at": GATE, "coverage": drawn.gate_coverage, "right": drawn.gate._asdict()},
        }  # fmt: skip
    return document


def _state(found: list[Judged]) -> str:
    """Of the last thing that was said."""
    return found[-1].state if found else "UNCALIBRATED"


def _sentence(found: Coverage) -> str:
    bases = ", ".join(f"{n} by {basis}" for basis, n in sorted(found.by_basis.items())) or "nobody said anything"
    return f"{found.judging} of {found.incidents} incidents have a known truth ({found.share:.0%}); {bases}"


def _print(name: str, covered: Coverage, found: list[Judged], drawn: Curves | None) -> None:
    out = console()
    out.print(f"[bold]{escape(name)}[/bold]: {_sentence(covered)}")
    missing = OWN_OUTCOMES - len(found)
    if missing > 0:
        out.print(f"  {missing} more outcomes until the confidence can be its own; until then it is advice")
    if drawn is None:
        out.print("  No confidence can be judged yet.")
        return
    out.print(f"  {scores(drawn)}")
    table = Table("said", "right", "95 %", "n", "", box=None)
    for one in drawn.bins:
        right = one.right
        table.add_row(f"{one.said:.2f}", f"{right.value:.2f}", f"{right.low:.2f} to {right.high:.2f}", str(right.n),
                      _drawn(one.said, right.value))  # fmt: skip
    out.print(table)
    table = Table("named", "wrong", "95 %", "from", box=None)
    for risk in _some(drawn):
        wrong = risk.wrong
        table.add_row(f"{risk.coverage:.0%}", f"{wrong.value:.2f}", f"{wrong.low:.2f} to {wrong.high:.2f}",
                      f"{risk.least:.2f}")  # fmt: skip
    out.print(table)
    gate = drawn.gate
    out.print(f"  said with {GATE} or more: {drawn.gate_coverage:.0%} of them, {gate.value:.2f} right "
              f"[{gate.low:.2f}, {gate.high:.2f}]")  # fmt: skip


def _some(drawn: Curves, most: int = 10) -> list[Any]:
    step = max(len(drawn.risks) // most, 1)
    return [*drawn.risks[step - 1 :: step]]


def _drawn(said: float, right: float) -> str:
    """`#` the share right, `|` the confidence."""
    cells = ["#" if n < round(right * _CELLS) else "." for n in range(_CELLS)]
    cells[min(int(said * _CELLS), _CELLS - 1)] = "|"
    return "".join(cells)


def fit(
    out: Annotated[Path, typer.Option("--out", help="Directory for one CalibrationMap a tenant.")],
    run: RunOrLog = _run.NEWEST,
    brokers: OnKafka = "",
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Move the general curve to each tenant's own outcomes; name the files in diagnosis.calibrations to use them."""
    read = Settings.read(settings)
    told = Place(run, read, brokers).read()
    general = _pipeline.load_calibration(read.diagnosis.calibration)
    ranker = _pipeline.load_weights(read.diagnosis.weights).digest
    out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Any] = {}
    for tenant, diagnoses in by_tenant(told.kept.diagnoses).items():
        every = judged(diagnoses, told.labels)
        found = [one.outcome for one in every if one.ranker == ranker]
        row: dict[str, Any] = {"outcomes": len(found), "of_other_rankers": len(every) - len(found), "file": None,
                               "state": general.state}  # fmt: skip
        if found:
            curve = shrunk(general, found, data=f"own outcomes of tenant {tenant}")
            place = out / f"calibration-{_SAFE.sub('_', tenant)[:100]}.json"
            place.write_text(curve.model_dump_json(indent=1) + "\n", encoding="utf-8")
            row |= {"file": str(place), "state": curve.state, "digest": curve.digest}
        rows[tenant] = row
    if json_:
        say({"tenants": rows})
        return
    for tenant, row in rows.items():
        other = f", {row['of_other_rankers']} of another ranker left out" if row["of_other_rankers"] else ""
        where = f", written to {row['file']}" if row["file"] else "; nothing is written"
        typer.echo(f"{tenant}: {row['outcomes']} own outcomes{other}, {row['state']}{where}")
