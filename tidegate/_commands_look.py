"""The command `look`: what Tidegate would have raised on the history that a Prometheus keeps."""

import json
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from schemas import why
from schemas.core import NS
from streams._prometheus_labels import service_of
from streams.sources._webhook import time_ns as iso_ns
from tidegate._commands import Config, Json, say
from tidegate._errors import LookError
from tidegate._event_time import time_ns
from tidegate._look import Look, look
from tidegate._look_page import page
from tidegate._look_read import History, Raised
from tidegate._progress import bar
from tidegate._reading import text_of
from tidegate._settings import Settings

_DAY_NS = 86_400 * NS
_FIRST_DAYS = 1.0


def register(app: typer.Typer) -> None:
    app.command("look")(look_command)


def look_command(
    prometheus: Annotated[str, typer.Option("--prometheus", help="Address of a Prometheus, or what speaks its API.")],
    days: Annotated[float, typer.Option(min=0.05, max=400, help="Days of history to read.")] = 28.0,
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("look.html"),
    until: Annotated[
        str | None, typer.Option("--until", help="Its end, now if left out: 2026-01-01T12:00:00Z or epoch seconds.")
    ] = None,
    step_s: Annotated[int, typer.Option("--step-s", min=10, max=3600, help="Seconds between samples.")] = 60,
    max_series: Annotated[int, typer.Option("--max-series", min=1, max=1_000_000, help="Most series to read.")] = 5_000,
    match: Annotated[str, typer.Option("--match", help='Selector, for example {namespace="shop"}.')] = "",
    token_file: Annotated[Path | None, typer.Option("--token-file", help="File with a bearer token.")] = None,
    alerts: Annotated[
        Path | None, typer.Option("--alerts", help="Export of Alertmanager (/api/v2/alerts) instead of `ALERTS`.")
    ] = None,
    keep: Annotated[Path | None, typer.Option("--keep", help="Keep what was read as a recording, to replay.")] = None,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """What would have been raised on the history of a Prometheus, beside the alerts that fired; reads only."""
    read = Settings.read(settings)
    history = History(prometheus, token=_token(token_file), match=match)
    end_ns = time_ns(until) if until else time.time_ns()
    if out.is_dir() or not out.parent.is_dir():
        raise LookError("the page cannot be written there", where=str(out), todo="Give --out a file in a directory")
    where, told = urlsplit(prometheus).netloc, None if alerts is None else _export(alerts)
    common: dict[str, Any] = {"end_ns": end_ns, "step_s": step_s, "most": max_series, "alerts": told}
    for span in [_FIRST_DAYS, days] if days > 2 * _FIRST_DAYS else [days]:
        is_first = span != days
        with bar(f"looking at {span:g} days", quiet=json_) as move:
            seen = look(
                history, read, start_ns=end_ns - int(span * _DAY_NS), on_progress=move,
                keep=None if is_first else keep, **common,
            )  # fmt: skip
        out.write_text(page(seen, where=where, is_first=is_first), encoding="utf-8")
        if not json_:
            _tell(seen, span, out)
    if json_:
        say(seen.document() | {"page": str(out), "queries": history.queries})


def _tell(seen: Look, days: float, out: Path) -> None:
    typer.echo(
        f"{days:g} days, {seen.plan.series:,} series, {seen.samples:,} samples in {seen.wall_s:.0f} s: "
        f"{len(seen.found)} incidents, {len(seen.alerts)} alerts, {len(seen.missed)} of them without an incident. "
        f"Page: {out}"
    )


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    return text_of(file, todo="Give --token-file a file with the token alone").strip()


def _export(file: Path) -> list[Raised]:
    """Alerts as Alertmanager's API v2 lists them. Raises LookError."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return sorted(
            Raised(
                one["labels"].get("alertname", ""), service_of(one["labels"]), iso_ns(one["startsAt"]),
                max(iso_ns(one["endsAt"]), iso_ns(one["startsAt"])), one["labels"].get("severity", ""),
            )
            for one in found
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        todo = "Save the answer of GET /api/v2/alerts"
        raise LookError(f"no export of Alertmanager: {why(error)}", where=str(file), todo=todo) from error
