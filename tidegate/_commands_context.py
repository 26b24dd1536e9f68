"""`tidegate context`: what is known around incidents: build the store, search it, see how fresh and whole it is."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

import schemas as sc
from diagnosis import Found
from tidegate import _pipeline, _run
from tidegate._commands import Config, Json, say
from tidegate._context import KINDS, WANTED, Entry, Keep, open_store
from tidegate._context_documents import documents
from tidegate._context_records import entries_of, runbooks, services_of
from tidegate._errors import SettingsError
from tidegate._labels import Place
from tidegate._settings import Settings
from tidegate._show import console

STORE = "context.sqlite"
StoreAt = Annotated[str, typer.Option("--store", help="A file, or postgresql://USER@HOST/DB.")]
_TOPICS = (sc.CHANGES, sc.CALENDAR, sc.ALERTS)
_EXCERPT = 160


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="What is known around incidents: changes, past ones, owners, ...")
    group.command("build")(build)
    group.command("search")(search)
    group.command("status")(status)
    app.add_typer(group, name="context")


def build(
    store: StoreAt = STORE,
    run: Annotated[Path, typer.Option("--run", help="A run directory, or the --dir of `up`.")] = _run.NEWEST,
    brokers: Annotated[str, typer.Option("--brokers", help="HOST:PORT,HOST:PORT: what lies on Kafka.")] = "",
    folder: Annotated[
        Path | None, typer.Option("--documents", help="Folder with postmortems/, runbooks/, slos/, owners/.")
    ] = None,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose the documents are; everybody's if empty.")] = "",
    every_s: Annotated[
        float,
        typer.Option("--every-s", min=0, max=86_400, help="Again after so many seconds, until interrupted; 0: once."),
    ] = 0.0,
    keep_days: Annotated[
        float,
        typer.Option(
            "--keep-days", min=1, max=36_500, help="Days after which what happened is forgotten; causes stay."
        ),
    ] = Keep().days,
    most: Annotated[
        int, typer.Option("--most", min=1, max=100_000_000, help="Entries of what happened, at most; the oldest go.")
    ] = Keep().most,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Put in what there is now, take out what is old; again is the same, only fresher."""
    read = Settings.read(settings)
    while True:
        told = Place(run, read, brokers).read(_TOPICS)
        books = runbooks(_pipeline.texts(read.actions.runbooks, "runbooks"))
        kept = documents(folder, tenant) if folder else []
        current = {"runbook/": [entry.id for entry in books]}
        current |= {f"document/{tenant}/": [entry.id for entry in kept]} if folder else {}
        with open_store(store) as one:
            now = time.time_ns()
            fed = one.feed([*entries_of(told), *books, *kept], services_of(told), now)
            forgotten = one.forget(Keep(keep_days, most), now, current)
        if not every_s:
            break
        time.sleep(every_s)
    if json_:
        say({"fed": fed, "forgotten": forgotten, "store": _shown(store)})
    else:
        gone = f", {sum(forgotten.values())} were forgotten" if forgotten else ""
        typer.echo(f"{fed} entries are in {_shown(store)}{gone}")


def search(
    words: Annotated[list[str], typer.Argument(help="Any of the words is enough; the best match comes first.")],
    store: StoreAt = STORE,
    kind: Annotated[list[str] | None, typer.Option(help=f"{', '.join(KINDS)}; may be repeated.")] = None,
    service: Annotated[str, typer.Option(help="Only of this service, or of none in particular.")] = "",
    tenant: Annotated[str, typer.Option(help="Only of this tenant, or of nobody in particular.")] = "",
    most: Annotated[int, typer.Option(min=1, max=200, help="Entries to show, at most.")] = 10,
    json_: Json = False,
) -> None:
    """Changes, past incidents, postmortems, runbooks, owners, SLOs that hold these words."""
    unknown = sorted(set(kind or ()) - set(KINDS))
    if unknown:
        raise SettingsError(f"there is no kind '{unknown[0]}'", todo=f"Kinds: {', '.join(KINDS)}")
    with open_store(store, must_exist=True) as one:
        found = one.search(" ".join(words), tenant=tenant, kinds=kind or (), service=service, most=most)
    if json_:
        say({"found": [{**entry._asdict(), "body": entry.body[:2000]} for entry in found]})
        return
    out = console()
    for entry in found:
        when = sc.rfc3339(entry.at_ns)[:16] + "Z " if entry.at_ns else ""
        out.print(f"{entry.kind}  {when}[bold]{escape(entry.title)}[/bold]  {escape(entry.service)}")
        out.print(f"    {escape(_excerpt(entry.body))}")
    if not found:
        out.print("Nothing holds any of these words.")


def status(store: StoreAt = STORE, json_: Json = False) -> None:
    """How old the newest entry of each kind is, and of which services no owner, runbook or SLO is known."""
    with open_store(store, must_exist=True) as one:
        found = one.status(time.time_ns())
    if json_:
        say(found)
        return
    for kind, row in found["kinds"].items():
        age = "no time" if row["newest_age_s"] is None else f"newest {_age(row['newest_age_s'])} old"
        oldest = "" if row["oldest_age_s"] is None else f", oldest {_age(row['oldest_age_s'])}"
        typer.echo(f"{kind}: {row['entries']} entries, {age}{oldest}, fed {_age(row['fed_age_s'])} ago")
    for kind, row in found["coverage"].items():
        if row["share"] is not None:
            missing = f"; missing: {', '.join(row['missing'][:10])}" if row["missing"] else ""
            typer.echo(f"{kind} known of {row['share']:.0%} of {found['services']} services{missing}")


def _shown(store: str) -> str:
    """Without a password."""
    return store.rsplit("@", maxsplit=1)[-1]


def found_for(place: str, diagnosis: sc.Diagnosis) -> tuple[Found, ...]:
    """What the store holds that may help with an incident: past ones like it, runbooks, owners and SLOs."""
    causes = [hypothesis.cause for hypothesis in diagnosis.hypotheses[:3]]
    services = list(dict.fromkeys([*(c.entity for c in causes), *(e.split("/")[-1] for e in diagnosis.entities[:5])]))
    text = " ".join([*services, *(c.family for c in causes[:1])])
    out: list[Entry] = []
    with open_store(place, must_exist=True) as store:
        past = store.search(text, tenant=diagnosis.tenant, kinds=("incident", "postmortem"), most=10)
        out += [e for e in past if e.id != f"incident/{diagnosis.incident_id}" and _names(e, services)]
        for name in services[:1]:
            of_it = store.search(name, tenant=diagnosis.tenant, service=name, most=6, kinds=WANTED)
            out += [entry for entry in of_it if entry.service == name]
    return tuple(Found(e.kind, e.title, _excerpt(e.body), e.at_ns) for e in out)


def _names(entry: Entry, services: list[str]) -> bool:
    return entry.service in services or any(service in entry.body.split() for service in services)


def _excerpt(body: str) -> str:
    line = " ".join(part for part in body.split("\n") if part.strip() and not part.startswith(("#", "---", "service:")))
    return line if len(line) <= _EXCERPT else line[: _EXCERPT - 3] + "..."


def _age(seconds: float) -> str:
    for unit, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"
