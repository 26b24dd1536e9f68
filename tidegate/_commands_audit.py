"""Commands over an audit log: verify, monitor, prove, consistency, export, check.

They need no network, no settings and no running process. Exit codes of this group: 0 everything holds, 2 it was
tampered with, 3 it is incomplete or cannot be read, 4 no checkpoint vouches for its end (yet). (2 is also what a
command typed wrong gives; the JSON object tells them apart.)
"""

import json
import time
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Annotated, Any

import typer

from actions import LogKey, Report, Tree, includes, is_consistent, leaf_hash, leaf_of, log_key, read_note
from schemas import why
from tidegate._audit_follow import notes_in
from tidegate._audit_log import body_of, kept_bodies, read_key, read_lines, read_notes, verify_place
from tidegate._commands import Json, say
from tidegate._commands_audit_follow import register as register_follow
from tidegate._errors import AuditLogError

EXIT = {"ok": 0, "tampered": 2, "incomplete": 3, "unanchored": 4}
PROOF = "tidegate.proof/v1"
Log = Annotated[Path, typer.Option("--log", help="Directory of the log.")]
Key = Annotated[str, typer.Option("--key", help="NAME+HASH+KEY or a file with it; else the one in the log.")]
Anchors = Annotated[
    list[Path] | None, typer.Option("--anchor", "--checkpoint", help="File with checkpoints kept elsewhere; repeat it.")
]


def register(app: typer.Typer) -> None:
    audit = typer.Typer(no_args_is_help=True, help="The audit log: does it hold, and proofs out of it.")
    for command in (verify, monitor, prove, consistency, export, check):
        audit.command(command.__name__)(command)
    register_follow(audit)
    app.add_typer(audit, name="audit")


def verify(
    log: Log,
    key: Key = "",
    anchor: Anchors = None,
    bodies: Annotated[bool, typer.Option("--bodies", help="Also what the entries are about, as far as kept.")] = False,
    json_: Json = False,
) -> None:
    """Every entry, hash, root, signature, and the life of every action. Exit code 0, 2, 3 or 4."""
    document, _ = _examined(log, key, anchor or [])
    if bodies:
        document |= _bodies(log)
    _told(document, json_)


def monitor(
    log: Log,
    state: Annotated[Path, typer.Option(help="File of this monitor: checkpoints that it has seen.")],
    key: Key = "",
    json_: Json = False,
) -> None:
    """Verify against everything this monitor ever saw, and remember the newest checkpoint. Run it elsewhere, often."""
    document, note = _examined(log, key, [state] if state.exists() else [])
    if document["reason"] in (None, "UNANCHORED_TAIL") and note:
        seen = state.read_text() if state.exists() else ""
        if note not in seen:
            _write(state, (seen + "\n" if seen else "") + note)
    _told(document, json_)


def prove(
    index: Annotated[int, typer.Argument(min=0, help="Which entry, from 0.")],
    log: Log,
    key: Key = "",
    out: Annotated[Path | None, typer.Option(help="File for the proof; else it is printed.")] = None,
    json_: Json = False,
) -> None:
    """A proof that an entry is in the log, which holds without the log."""
    lines, tree, note, reader = _held(log, key)
    proof = _proof(index, lines, tree, note, read_note(note, reader).size)
    if out:
        _write(out, json.dumps(proof) + "\n")
    if json_ or not out:
        say(proof)


def consistency(
    old: Annotated[int, typer.Argument(min=0, help="Entries of the shorter log.")],
    new: Annotated[int, typer.Argument(min=0, help="Entries of the longer log.")],
    log: Log,
    key: Key = "",
    json_: Json = False,
) -> None:
    """A proof that the log of `new` entries begins with the log of `old` entries."""
    _, tree, _, _ = _held(log, key)
    if not old <= new <= tree.size:
        raise AuditLogError(f"{old} to {new} of {tree.size} entries", where=str(log), todo="Give two sizes in order")
    proof, roots = tree.consistency_proof(old, new), [tree.root(n) for n in (old, new)]
    nodes, texts = [_text(node) for node in proof], [_text(root) for root in roots]
    ok = is_consistent(old, new, roots[0], roots[1], proof)
    if json_:
        say({"ok": ok, "old": old, "new": new, "old_root": texts[0], "new_root": texts[1], "proof": nodes})
    else:
        typer.echo("\n".join([f"{old} -> {new}: {texts[0]} -> {texts[1]}", *(f"  {node}" for node in nodes)]))


def export(
    log: Log,
    out: Annotated[Path, typer.Option(help="File to write: one proof a line, which `tidegate audit check` reads.")],
    action: Annotated[str, typer.Option(help="Only entries about this action.")] = "",
    bodies: Annotated[bool, typer.Option("--bodies", help="With what the entries are about, as far as kept.")] = False,
    key: Key = "",
    json_: Json = False,
) -> None:
    """Entries with their proofs, for somebody who is to see these and no others."""
    lines, tree, note, reader = _held(log, key)
    covered = read_note(note, reader).size
    rows = []
    for index, line in enumerate(lines[:covered]):
        if action and leaf_of(line).action_id != action:
            continue
        row = _proof(index, lines, tree, note, covered)
        if bodies and (digest := leaf_of(line).body_digest):
            row["body"] = body_of(log, digest)
        rows.append(json.dumps(row))
    _write(out, "".join(row + "\n" for row in rows))
    if json_:
        say({"entries": len(rows), "size": covered, "out": str(out)})
    else:
        typer.echo(f"{len(rows)} of {covered} entries, each with its proof: {out}")


def check(
    proofs: Annotated[Path, typer.Argument(help="File from `prove` or `export`.")],
    key: Annotated[str, typer.Option("--key", help="NAME+HASH+KEY of the log, or a file with it.")],
    json_: Json = False,
) -> None:
    """Do the proofs hold? Needs the key of the log, and nothing else. Exit code 2 if one does not."""
    reader, bad = _key(key, None), []
    try:
        rows = proofs.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AuditLogError(f"it cannot be read: {why(error)}", where=str(proofs)) from error
    for number, row in enumerate(rows):
        try:
            row_ok = _holds(json.loads(row), reader)
        except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
            bad.append({"line": number + 1, "why": str(error)[:200]})
        else:
            bad += [] if row_ok else [{"line": number + 1, "why": "the proof does not lead to the signed root"}]
    ok = bool(rows) and not bad
    if json_:
        say({"ok": ok, "proofs": len(rows), "bad": bad})
    else:
        typer.echo(f"{len(rows)} proofs, {len(bad)} of them do not hold")
    if not ok:
        raise typer.Exit(EXIT["tampered" if bad else "incomplete"])


def _examined(log: Path, key: str, anchors: list[Path]) -> tuple[dict[str, Any], str]:
    """What `verify` prints, and the newest checkpoint that agrees."""
    begun = time.monotonic()
    reader = _key(key, log)
    kept = tuple(note for path in anchors for note in _notes_in(path, reader))
    report, notes = verify_place(log, reader, kept)
    if notes.is_torn and report.verdict in ("ok", "unanchored"):
        text = "the last checkpoint is not whole: the writer was stopped"
        report = Report(
            report.entries, report.verified, "incomplete", None, "CHECKPOINT_TORN", text, report.root, report.anchored,
            report.open_actions,
        )  # fmt: skip
    newest = notes.texts[-1] if notes.texts and report.reason in (None, "UNANCHORED_TAIL") else ""
    return {
        "entries": report.entries, "ok": report.ok, "first_bad": report.first_bad, "reason": report.reason,
        "seconds": round(time.monotonic() - begun, 3), "text": report.text, "verdict": report.verdict,
        "verified": report.verified, "anchored": report.anchored, "open_actions": report.open_actions,
        "root": _text(report.root), "origin": reader.name, "key": "given" if key else "of the log itself",
        "anchors": len(kept),
    }, newest  # fmt: skip


def _bodies(log: Path) -> dict[str, Any]:
    """How many bodies are there; a fault if one is not what was written."""
    digests = kept_bodies(log)
    for digest in digests:
        try:
            body_of(log, digest)
        except AuditLogError as error:
            return {"ok": False, "verdict": "tampered", "reason": "BODY", "text": str(error), "bodies": len(digests)}
    return {"bodies": len(digests)}


def _told(document: dict[str, Any], json_: bool) -> None:
    if json_:
        say(document)
    else:
        word = "holds" if document["ok"] else f"{document['text']} [{document['reason']}]"
        typer.echo(f"{document['entries']} entries of {document['origin']}: {word}")
        if document["key"] != "given":
            typer.echo("The key lies in the log itself: give --key to be sure who signed.")
    if not document["ok"]:
        raise typer.Exit(EXIT[document["verdict"]])


def _held(log: Path, key: str) -> tuple[list[bytes], Tree, str, LogKey]:
    """The entries, their tree, and the newest checkpoint. Exit code 2 or 3 if the log does not hold."""
    document, note = _examined(log, key, [])
    if document["reason"] not in (None, "UNANCHORED_TAIL") or not note:
        typer.echo(f"{log}: {document['text'] or 'there is no checkpoint'} [{document['reason']}]", err=True)
        raise typer.Exit(EXIT[document["verdict"]] or EXIT["incomplete"])
    lines = [line[:-1] for line in read_lines(log)]
    return lines, Tree(leaf_hash(line) for line in lines), note, _key(key, log)


def _proof(index: int, lines: list[bytes], tree: Tree, note: str, size: int) -> dict[str, Any]:
    if index >= size:
        raise AuditLogError(f"no checkpoint is over entry {index}; the newest is over {size}")
    path = [_text(node) for node in tree.inclusion_proof(index, size)]
    return {"proof": PROOF, "index": index, "entry": lines[index].decode(), "path": path, "checkpoint": note}


def _holds(row: dict[str, Any], reader: LogKey) -> bool:
    """Raises ValueError, KeyError or TypeError if it is no proof."""
    from actions import ActionsError

    try:
        head = read_note(row["checkpoint"], reader)
        entry = str(row["entry"]).encode()
        is_there = row["proof"] == PROOF and leaf_of(entry).index == row["index"]
    except ActionsError as error:
        raise ValueError(str(error)) from error
    path = [b64decode(node, validate=True) for node in row["path"]]
    return is_there and includes(leaf_hash(entry), row["index"], head.size, path, head.root)


def _key(text: str, log: Path | None) -> LogKey:
    if not text and log is not None:
        return read_key(log)
    path = Path(text)
    try:
        return log_key(path.read_text() if len(text) < 4096 and path.is_file() else text)
    except (OSError, UnicodeDecodeError) as error:
        raise AuditLogError(f"the key cannot be read: {why(error)}", where=text) from error


def _notes_in(path: Path, reader: LogKey) -> list[str]:
    """The checkpoints in a file: signed notes one after the other, or records one a line."""
    if path.is_dir():
        return list(read_notes(path, reader).texts)
    try:
        return notes_in(path.read_text(), str(path))
    except (OSError, ValueError) as error:
        raise AuditLogError(f"the checkpoints cannot be read: {why(error)}", where=str(path)) from error


def _write(path: Path, text: str) -> None:
    """At once or not at all."""
    try:
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text)
        fresh.replace(path)
    except OSError as error:
        raise AuditLogError(f"it cannot be written: {why(error)}", where=str(path)) from error


def _text(node: bytes) -> str:
    return b64encode(node).decode()
