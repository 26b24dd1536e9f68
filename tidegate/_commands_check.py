"""Commands that check: doctor, schema, runbook. A check that finds something wrong exits 4."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate import _doctor, _doctor_sources, _pipeline
from tidegate._commands import Config, Json, say
from tidegate._errors import SettingsError
from tidegate._settings import Settings

CHECK_FAILED = 4
Where = Annotated[Path | None, typer.Argument(help="Directory of YAML files; the shipped ones if empty.")]


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)
    schema = typer.Typer(no_args_is_help=True, help="Formats: JSON Schema, AsyncAPI and their compatibility.")
    schema.command("list")(schema_list)
    schema.command("render")(schema_render)
    schema.command("check")(schema_check)
    schema.command("register")(schema_register)
    app.add_typer(schema, name="schema")
    runbook = typer.Typer(no_args_is_help=True, help="Runbooks: do they load, do their cases hold.")
    runbook.command("check")(runbook_check)
    runbook.command("test")(runbook_test)
    app.add_typer(runbook, name="runbook")


def doctor(
    sources: Annotated[str, typer.Option(help="Instead: what a running gateway heard of each sender; its URL.")] = "",
    token: Annotated[str, typer.Option(envvar="TIDEGATE_TOKEN", help="Bearer token of a source with can_read.")] = "",
    settings: Config = None,
    json_: Json = False,
) -> None:
    """What is here, what is missing, and what to type to get it; or which senders arrive."""
    rows = _doctor_sources.ask(sources, token) if sources else _doctor.examine(Settings.read(settings))
    bad = [row for row in rows if row["state"] == "bad"]
    if json_:
        say({"ok": not bad, "rows": rows})
    else:
        for row in rows:
            typer.echo(
                f"{row['state']:<8}{row['what']:<28}{row['found']}" + (f"  -> {row['todo']}" if row["todo"] else "")
            )
    if bad:
        raise typer.Exit(CHECK_FAILED)


def schema_list(json_: Json = False) -> None:
    """Topics with their keys and records."""
    import schemas as sc

    rows = [
        {"topic": t.name, "key": t.key, "content": t.content, "records": [r.TYPE for r in t.records]}
        for t in sc.TOPICS.values()
    ]  # fmt: skip
    if json_:
        say({"topics": rows})
        return
    for row in rows:
        typer.echo(f"{row['topic']:<28}{row['key']:<28}{row['content']:<10}{', '.join(row['records'])}")


def schema_render(
    out: Annotated[Path, typer.Option("--out", help="The `schemas` folder to write below.")] = Path("schemas"),
    freeze: Annotated[
        bool, typer.Option(help="Also keep changed schemas as a new committed version (at a release).")
    ] = False,
    json_: Json = False,
) -> None:
    """Write JSON Schema and AsyncAPI files from the models."""
    from schemas import _render

    files = _render.render()
    if freeze:
        files = {**files, **_render.freeze(_doctor.committed(out))}
    for name, text in files.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    if json_:
        say({"files": len(files)})
    else:
        typer.echo(f"{len(files)} files written below {out}")


def schema_check(
    out: Annotated[Path, typer.Option("--against", help="The `schemas` folder with the committed versions.")] = Path(
        "schemas"
    ),
    json_: Json = False,
) -> None:
    """Whether old readers can read new data and new readers old data, against every committed version."""
    from schemas import _compat, _render

    kept = _doctor.committed(out)
    if not kept:
        todo = "Give the `schemas` folder of a checkout as --against"
        raise SettingsError("no committed version is here", where=str(out), todo=todo)
    problems = [str(problem) for problem in _compat.gate(_render.render(), kept)]
    _report(problems, {}, json_)


def schema_register(settings: Config = None, json_: Json = False) -> None:
    """Tell the schema registry of the settings all records, as `run` and `gateway` do when they start."""
    found = Settings.read(settings)
    if not found.kafka.registry.url:
        raise SettingsError("no schema registry is named", where="kafka.registry.url", todo="See docs/kafka.md")
    rows = [row._asdict() for row in found.kafka.register_schemas()]
    if json_:
        say({"subjects": rows})
    else:
        typer.echo(f"{len(rows)} subjects, {sum(bool(row['is_new']) for row in rows)} of them with a new version")


def runbook_check(where: Where = None, json_: Json = False) -> None:
    """Load runbooks: unknown verbs, steps without undo, references that do not exist; ties are shown; cases are run."""
    from actions import load_runbooks, runbook_overlaps

    texts = _pipeline.texts(where, "runbooks")
    loaded = load_runbooks(texts, _pipeline.verbs())
    _report(*_cases(texts), json_, runbook_overlaps(loaded))


def runbook_test(where: Where = None, json_: Json = False) -> None:
    """Run the cases that stand in the runbooks; ties are shown by `check`."""
    texts = _pipeline.texts(where, "runbooks")
    if not texts:
        raise SettingsError("no runbooks are here", where=str(where), todo="Give a directory with *.yaml")
    _report(*_cases(texts), json_)


def _cases(texts: dict[str, str]) -> tuple[list[str], dict[str, int]]:
    """What the cases of the runbooks found, a sentence each, and how many passed and failed."""
    import yaml

    from actions import run_runbook_cases

    failures = run_runbook_cases(texts, _pipeline.verbs())
    total = sum(len((yaml.safe_load(text) or {}).get("cases") or []) for text in texts.values())
    passed = total - len({(f.where, f.name) for f in failures})
    return [f"{f.where}: case '{f.name}': {f.what}" for f in failures], {"passed": passed, "failed": total - passed}


def _report(
    errors: list[str], cases: dict[str, int], json_: bool, contradictions: list[dict[str, Any]] | None = None
) -> None:
    if json_:
        say({"errors": errors, "cases": cases} | ({} if contradictions is None else {"contradictions": contradictions}))
    else:
        for row in contradictions or []:
            typer.echo(f"{' and '.join(row['runbooks'])} fit the same cause; {row['taken']} is taken: {row['example']}")
        for error in errors:
            typer.echo(error)
        if cases:
            typer.echo(f"{cases['passed']} passed, {cases['failed']} failed")
        typer.echo("ok" if not errors else f"{len(errors)} wrong")
    if errors:
        raise typer.Exit(CHECK_FAILED)
