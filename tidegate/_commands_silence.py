"""`tidegate silence`: say what nobody wants to be paged for; incidents of it are recorded and not acted upon."""

import getpass
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import typer

import schemas as sc
from schemas.core import NS
from tidegate import _run, _silences
from tidegate._commands import Config, Json, say
from tidegate._commands_live import LOG
from tidegate._errors import NotFoundError, SettingsError
from tidegate._event_time import time_ns
from tidegate._labels import Place
from tidegate._settings import Settings
from tidegate._signals import stops

RunOrLog = Annotated[Path, typer.Option("--run", help="The --dir of `up`, also while it runs.")]
OnKafka = Annotated[str, typer.Option("--brokers", help="HOST:PORT,HOST:PORT: a pipeline on Kafka.")]
For = Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d12h.")]
By = Annotated[str, typer.Option("--by", envvar="TIDEGATE_PERSON", help="Who says so; else the user.")]
Why = Annotated[str, typer.Option("--comment", help="Why.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Whose incidents.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="What nobody is paged for: silences, snoozed incidents.")
    group.command("add")(add)
    group.command("snooze")(snooze)
    group.command("end")(end)
    group.command("list")(list_)
    group.command("take")(take)
    app.add_typer(group, name="silence")


def add(
    match: Annotated[list[str], typer.Option("--match", help="LABEL=VALUE, or !=, =~, !~; all must hold.")],
    length: For,
    begin: Annotated[
        str, typer.Option("--from", help="When it begins, now if left out: 2026-01-01T12:00:00Z or epoch seconds.")
    ] = "",
    tenant: Tenant = "default",
    comment: Why = "",
    by: By = "",
    run: RunOrLog = LOG,
    brokers: OnKafka = "",
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Silence everything whose labels match, for some time; it ends by itself."""
    matchers = [_silences.matcher_of(text) for text in match]
    begin_ns = time_ns(begin) if begin else None
    _silence(_place(run, settings, brokers), matchers, length, by, comment, tenant, json_, begin_ns)


def snooze(
    name: Annotated[str, typer.Argument(metavar="ID", help="Incident; the beginning of its id is enough.")],
    length: For = "1h",
    comment: Why = "",
    by: By = "",
    run: RunOrLog = LOG,
    brokers: OnKafka = "",
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Silence one incident that goes on, for some time; another incident of the same services is heard."""
    place = _place(run, settings, brokers)
    diagnosis, _ = _run.find(place.read().kept, name)
    matchers = [sc.Matcher(name="incident_id", value=diagnosis.incident_id)]
    _silence(place, matchers, length, by, comment, diagnosis.tenant, json_)


def end(
    name: Annotated[str, typer.Argument(metavar="ID", help="Silence; the beginning of its id is enough.")],
    run: RunOrLog = LOG,
    brokers: OnKafka = "",
    settings: Config = None,
    json_: Json = False,
) -> None:
    """End a silence now."""
    place, now = _place(run, settings, brokers), time.time_ns()
    known = place.read((sc.CALENDAR,)).kept.silences
    mine = [one for one in known.values() if one.id.startswith(name) and one.end_ns > now]
    if not name or len(mine) != 1:
        todo = f"Silences: {', '.join(one.id for one in known.values() if one.end_ns > now) or 'none'}"
        raise NotFoundError(f"'{name}' names {len(mine)} silences", todo=todo)
    over = mine[0].model_copy(update={"start_ns": min(mine[0].start_ns, now), "end_ns": now, "said_ns": now})
    _said(place, [over], json_)


def list_(
    run: RunOrLog = LOG,
    brokers: OnKafka = "",
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Silences that hold or will, and the incidents that they hold of."""
    kept, now = _place(run, settings, brokers).read((sc.CALENDAR,)).kept, time.time_ns()
    found = sorted((s for s in kept.silences.values() if every or s.end_ns > now), key=lambda s: (s.end_ns, s.id))
    rows = [_row(one, [i.id for i in kept.incidents.values() if f"silence:{one.id}" in i.suppressed_by])
            for one in found]  # fmt: skip
    if json_:
        say({"silences": rows})
        return
    for row in rows:
        typer.echo(_sentence(row))
    if not rows:
        typer.echo("nothing is silenced")


def take(
    url: Annotated[str, typer.Option("--alertmanager", help="http://HOST:9093")],
    every_s: Annotated[
        float, typer.Option("--every-s", min=0, max=86_400, help="Again every so many seconds; 0: once.")
    ] = 0.0,
    tenant: Tenant = "default",
    run: RunOrLog = LOG,
    brokers: OnKafka = "",
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Take over the silences of an Alertmanager: new ones, changed ones, those that were ended.

    With --every-s until it is told to stop; a time when Alertmanager does not answer is one line on stderr.
    """
    place, stopping, left_out = _place(run, settings, brokers), threading.Event(), dict[str, str]()
    with stops(stopping):
        while not stopping.is_set():
            try:
                taken = _take(place, url, tenant)
            except SettingsError as error:
                if not every_s or error.code != _silences.UNREACHABLE:
                    raise
                typer.echo(str(error), err=True)
            else:
                if taken.silences or taken.left_out != left_out or not every_s:
                    _tell(taken, json_)
                left_out = taken.left_out
            if not every_s:
                break
            stopping.wait(every_s)


def _take(place: Place, url: str, tenant: str) -> _silences.Taken:
    known, now = place.read((sc.CALENDAR,)).kept.silences, time.time_ns()
    taken = _silences.silences_of(_silences.asked(url), known.values(), now, tenant)
    place.send(_silences.emits(taken.silences), now, writer="silence")
    return taken


def _tell(taken: _silences.Taken, json_: bool) -> None:
    if json_:
        say({"taken": [_row(one, []) for one in taken.silences], "left_out": taken.left_out})
        return
    typer.echo(f"{len(taken.silences)} taken over, {len(taken.left_out)} left out")
    for name, reason in taken.left_out.items():
        typer.echo(f"  {name}: {reason}")


def _place(run: Path, settings: Path | None, brokers: str) -> Place:
    place = Place(run, Settings.read(settings), brokers)
    if not place.is_running:
        todo = "Give the --dir of `tidegate up` as --run, or --brokers"
        raise SettingsError("no pipeline would read it there", where=str(run), todo=todo)
    return place


def _silence(
    place: Place, matchers: list[sc.Matcher], length: str, by: str, comment: str, tenant: str, json_: bool,
    begin_ns: int | None = None,
) -> None:  # fmt: skip
    """Say a silence that begins now, or at `begin_ns`."""
    now = time.time_ns()
    begin_ns = now if begin_ns is None else begin_ns
    end_ns = begin_ns + _silences.span_ns(length)
    one = _silences.silence_of(matchers, begin_ns, end_ns, now, by or getpass.getuser(), comment, tenant)
    _said(place, [one], json_)


def _said(place: Place, silences: list[sc.Silence], json_: bool) -> None:
    place.send(_silences.emits(silences), silences[0].said_ns, writer="silence")
    if json_:
        say({"silences": [_row(one, []) for one in silences]})
        return
    for one in silences:
        typer.echo(_sentence(_row(one, [])))


def _row(one: sc.Silence, incidents: list[str]) -> dict[str, Any]:
    return {
        "id": one.id, "tenant": one.tenant, "matchers": [_text(matcher) for matcher in one.matchers],
        "from": sc.rfc3339(one.start_ns), "to": sc.rfc3339(one.end_ns), "by": one.author, "comment": one.comment,
        "system": one.system, "minutes": round((one.end_ns - one.start_ns) / NS / 60, 1), "incidents": incidents,
    }  # fmt: skip


def _text(matcher: sc.Matcher) -> str:
    sign = ("=~" if matcher.is_equal else "!~") if matcher.is_regex else ("=" if matcher.is_equal else "!=")
    return f"{matcher.name}{sign}{matcher.value}"


def _sentence(row: dict[str, Any]) -> str:
    of = f", holds of {', '.join(one[:8] for one in row['incidents'])}" if row["incidents"] else ""
    return f"{row['id'][:8]}: {', '.join(row['matchers'])} from {row['from']} to {row['to']}, {row['by']}{of}"
