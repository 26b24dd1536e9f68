"""The commands `policy`: check, test, explain, simulate. A check that finds something wrong exits 4."""

from pathlib import Path
from typing import Annotated, Any

import typer

import schemas as sc
from actions import (
    NAMES,
    Policies,
    PolicyFailure,
    check_policies,
    explain_decision,
    load_policies,
    names_read,
    policy_cases,
    run_policy_cases,
    simulate,
)
from streams import Recording
from tidegate import _history, _pipeline, _run
from tidegate._commands import Begin, Brokers, Config, End, Json, RunDir, say
from tidegate._errors import NotFoundError, SettingsError
from tidegate._event_time import stretch_of
from tidegate._live import LOG
from tidegate._reading import text_of
from tidegate._settings import Settings

CHECK_FAILED = 4
Where = Annotated[Path | None, typer.Argument(help="Directory of YAML files, or one file; the shipped ones if empty.")]
Rules = Annotated[
    Path | None, typer.Option("--policies", help="Directory of policy files; else those of the settings.")
]


def register(app: typer.Typer) -> None:
    policy = typer.Typer(no_args_is_help=True, help="Policies: do they hold, what did and would they say.")
    policy.command("check")(check)
    policy.command("test")(cases)
    policy.command("explain")(explain)
    policy.command("simulate")(simulate_command)
    app.add_typer(policy, name="policy")


def check(where: Where = None, json_: Json = False) -> None:
    """Types, unknown names, rules that can never decide, and rules that contradict each other, with an example."""
    texts = _texts(where)
    found = check_policies(texts)
    failures = [] if found.errors else run_policy_cases(texts)
    errors = found.errors + [_sentence(failure) for failure in failures]
    contradictions = [contradiction.document() for contradiction in found.contradictions]
    if json_:
        say({
            "errors": errors, "contradictions": contradictions, "unreachable": found.unreachable,
            "not_exact": found.not_exact, "cases": {} if found.errors else _counts(texts, failures),
        })  # fmt: skip
    else:
        for error in errors:
            typer.echo(error)
        for row in contradictions:
            typer.echo(
                f"{' and '.join(row['rules'])} contradict each other ({' or '.join(row['effects'])}), for example"
            )
            typer.echo(f"  where {_told(row['example'])}; decided: {row['decided']}")
        for note in found.not_exact:
            typer.echo(f"not searched to the end: {note}")
        wrong = len(errors) + (0 if found.is_clean else len(contradictions))
        typer.echo(f"{wrong} wrong" if wrong else "ok")
    if errors or not found.is_clean:
        raise typer.Exit(CHECK_FAILED)


def cases(where: Where = None, settings: Config = None, json_: Json = False) -> None:
    """Run the cases that stand beside the policies; contradictions are shown, and fail `check` only.

    With settings that name an OPA server, it is asked.
    """
    texts, read = _texts(where), Settings.read(settings)
    failures = run_policy_cases(texts, read.actions.opa.engine() if read.actions.opa.url else None)
    counts = _counts(texts, failures)
    if json_:
        contradictions = [contradiction.document() for contradiction in check_policies(texts).contradictions]
        say({"errors": [_sentence(f) for f in failures], "contradictions": contradictions, "cases": counts})
    else:
        for failure in failures:
            typer.echo(_sentence(failure))
        typer.echo(f"{counts['passed']} passed, {counts['failed']} failed")
    if failures:
        raise typer.Exit(CHECK_FAILED)


def explain(
    name: Annotated[str, typer.Argument(metavar="ID", help="Action or incident; the beginning is enough.")] = "",
    run: RunDir = _run.NEWEST,
    brokers: Brokers = "",
    policies: Rules = None,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """Which rules held and what each said, the snapshot they saw, and what would change the outcome."""
    read = Settings.read(settings)
    rules = load_policies(_texts(policies or read.actions.policies))
    events = [e for e in decisions_of(read, run, brokers, None, None) if name in ("", e.action_id)
              or e.action_id.startswith(name) or e.incident_id.startswith(name)]  # fmt: skip
    if not events:
        what = f"no decision is called '{name}'" if name else "there is no decision"
        raise NotFoundError(what, todo="`tidegate explain` lists what a run holds")
    found = [explain_decision(rules, event) for event in events]
    if json_:
        say({"decisions": found})
        return
    for row in found:
        _show(row)


def simulate_command(
    begin: Begin = None,
    end: End = None,
    run: RunDir = _run.NEWEST,
    brokers: Brokers = "",
    policies: Rules = None,
    settings: Config = None,
    json_: Json = False,
) -> None:
    """What these policies would have decided on history: the differences to what was decided then."""
    read = Settings.read(settings)
    judge = load_policies(_texts(policies)) if policies else _pipeline.engine(read)
    names = names_read(judge) if isinstance(judge, Policies) else NAMES
    found = simulate(judge, decisions_of(read, run, brokers, begin, end), names).document()
    found["policy_digest"] = judge.digest
    if json_:
        say(found)
        return
    for row in found["rows"]:
        if row["changed"]:
            was, would = row["was"], row["would"]
            typer.echo(
                f"{row['at']}  {row['verb']:<20} {row['target']:<32} {was['effect']} {was['reason']}"
                f" -> {would['effect']} {would['reason']}"
            )
    moves = ", ".join(f"{n} {move}" for move, n in found["transitions"].items()) or "nothing"
    typer.echo(f"{found['decisions']} decisions judged again, {found['changed']} would change: {moves}")
    if found["not_judged"]:
        typer.echo(f"{found['not_judged']} were decided before snapshots were kept or had these names: not judged")


def decisions_of(
    settings: Settings, run: Path, brokers: str, begin: str | None, end: str | None
) -> list[sc.ActionEvent]:
    """The events `gated` as they were decided; what the action worker tells of them again is no decision."""
    found = events_of(settings, run, brokers, begin, end)
    return [one for one in found if one.state == "gated" and one.decision is not None and not one.idempotency_key]


def events_of(settings: Settings, run: Path, brokers: str, begin: str | None, end: str | None) -> list[sc.ActionEvent]:
    """All events of actions of a run, a recording, the log of `up`, or Kafka, in order of time, each once."""
    stretch = stretch_of(begin, end, by_content=False)
    if brokers:
        with _history.open_history(settings, brokers) as history:
            found = _run.Kept.of(history.messages([sc.ACTIONS])).actions
    elif (run / LOG).is_file() or (run / _run.DOCUMENT).exists():
        found = _run.read(run).actions
    else:
        found = _run.Kept.of(Recording.open(run).messages([sc.ACTIONS])).actions
    inside = {e.id: e for e in found if e.at_ns >= stretch.from_ns and (not stretch.to_ns or e.at_ns < stretch.to_ns)}
    return sorted(inside.values(), key=lambda event: (event.at_ns, event.id))


def _texts(where: Path | None) -> dict[str, str]:
    if where is not None and where.is_file():
        return {str(where): text_of(where)}
    found = _pipeline.texts(where, "policies")
    if not found:
        raise SettingsError("no policies are here", where=str(where), todo="Give a directory with *.yaml, or one file")
    return found


def _counts(texts: dict[str, str], failures: list[PolicyFailure]) -> dict[str, int]:
    total, failed = policy_cases(texts), len(failures)
    return {"passed": total - failed, "failed": failed}


def _sentence(failure: PolicyFailure) -> str:
    return f"{failure.where}: case '{failure.name}': {failure.what}"


def _told(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in values.items())


def _show(row: dict[str, Any]) -> None:
    said = row["decision"]
    typer.echo(f"{row['at']}  {row['verb']} on {row['target']}: {said['effect']}, {said['reason']}")
    if not row["is_same_policy"]:
        now = row["now"]
        typer.echo("  Other policies are in force now" + (f": {now['effect']}, {now['reason']}" if now else "") + ".")
    for rule in row["rules"]:
        if rule["holds"] is not False:
            mark = "holds" if rule["holds"] else "FAILS"
            typer.echo(f"  {rule['priority']:>4} {rule['id']:<24} {mark}: {rule['effect']}, {rule['reason']}")
            typer.echo(f"       {rule['when']}   ({_told(rule['reads'])})")
    if row["snapshot_state"] != "as judged":
        typer.echo(f"  The snapshot is {row['snapshot_state']}, so nothing can be said of what would change it.")
    for flip in row["flips"]:
        values = ", ".join(
            f"{name} {flip['bound'] or f'= {value!r}'}" if n == 0 else f"{name} = {value!r}"
            for n, (name, value) in enumerate(flip["changed"].items())
        )
        typer.echo(f"  if {values}: {flip['effect']}, {flip['reason']}")
