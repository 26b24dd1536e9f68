"""The documents that people keep, and what diagnosis takes from them: who owns a service, and what it promises.

    owners/checkout.yaml            slos/checkout.yaml
    service: checkout               service: checkout
    owner: Team payments            title: Orders that work
    escalation: [pay@example.org]   objectives:
    business: [orders_per_minute]     - {of: error_ratio, most: 0.001, title: 99.9 % of orders}

In Markdown and text the first heading of a document in `owners/` is the owner, and nothing else is understood. What a
process took from them it keeps (`ServiceBook`), so that a replay can be given the same.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

import schemas as sc
from schemas import why
from tidegate._context import FOLDERS, SCHEMES, Entry, open_store
from tidegate._errors import RunError

STATED = ("owner", "slo")
"""Kinds of documents of which diagnosis knows."""
_SUFFIXES = (".md", ".txt", ".yaml", ".yml")
_MOST_BYTES = 256 * 1024
_SERVICE = re.compile(r"^service:\s*([A-Za-z0-9._/-]{1,200})\s*$", re.MULTILINE)
_TITLE = re.compile(r"^(?:#\s+|title:\s*)(.{1,200})$", re.MULTILINE)
_KEYS = ("owner", "escalation", "objectives", "business")


def title_of(text: str, name: str) -> str:
    """The first heading, or what a line `title:` says; else the name."""
    found = _TITLE.search(text)
    return found.group(1).strip() if found else name


def documents(folder: Path, tenant: str = "") -> list[Entry]:
    """Files of people: `postmortems/`, `runbooks/`, `slos/`, `owners/`, in Markdown, text or YAML.

    A line `service: NAME` says of which service; else the name of the file does. Raises RunError, also where an owner
    or an objective cannot be understood.
    """
    if not folder.is_dir():
        raise RunError("is no folder of documents", where=str(folder), todo=f"With folders: {', '.join(FOLDERS)}")
    out = []
    for name, kind in FOLDERS.items():
        for file in sorted((folder / name).glob("**/*")):
            if file.suffix not in _SUFFIXES or not file.is_file():
                continue
            try:
                text = file.read_bytes()[:_MOST_BYTES].decode("utf-8", "replace")
            except OSError as error:
                raise RunError(f"cannot be read: {why(error)}", where=str(file), todo="Make it readable") from error
            service = _SERVICE.search(text)
            entry = Entry(f"document/{tenant}/{name}/{file.relative_to(folder / name)}", kind, tenant,
                          service.group(1) if service else file.stem, title_of(text, file.stem), text, 0)  # fmt: skip
            if kind in STATED:
                facts_of(entry)
            out.append(entry)
    return out


def facts_of(entry: Entry) -> sc.ServiceFacts:
    """What a document in `owners/` or `slos/` says of its service. Raises RunError where it cannot be understood."""
    told: dict[str, Any] = {}
    if entry.id.endswith((".yaml", ".yml")):
        try:
            document: Any = yaml.safe_load(entry.body)
        except yaml.YAMLError as error:
            raise _unreadable(entry, str(error).splitlines()[0]) from error
        if isinstance(document, dict):
            told = {key: document[key] for key in _KEYS if document.get(key) is not None}
    elif entry.kind == "owner":
        told = {"owner": entry.title}
    try:
        return sc.ServiceFacts.model_validate({"tenant": entry.tenant, "service": entry.service, **told})
    except ValidationError as error:
        first = error.errors()[0]
        raise _unreadable(entry, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def book_of(entries: Iterable[Entry]) -> sc.ServiceBook:
    """All that documents say of services; of two owners of one service that of the first by id counts."""
    found: dict[tuple[str, str], sc.ServiceFacts] = {}
    for entry in sorted(entries, key=lambda one: one.id):
        told = facts_of(entry)
        kept = found.get((told.tenant, told.service))
        if kept is not None:
            told = told.model_copy(
                update={
                    "owner": kept.owner or told.owner, "escalation": kept.escalation or told.escalation,
                    "objectives": [*kept.objectives, *told.objectives],
                    "business": list(dict.fromkeys([*kept.business, *told.business])),
                }
            )  # fmt: skip
        found[told.tenant, told.service] = told
    return sc.ServiceBook(services=[found[key] for key in sorted(found)])


def load_book(place: str) -> sc.ServiceBook | None:
    """From a folder of documents, a context store, or a book as JSON; None if no place is named. Raises RunError."""
    if not place:
        return None
    path = Path(place)
    if place.startswith(SCHEMES) or (path.is_file() and path.suffix != ".json"):
        with open_store(place, must_exist=True) as store:
            return book_of(store.of_kinds(STATED))
    if path.suffix != ".json":
        return book_of(entry for entry in documents(path) if entry.kind in STATED)
    try:
        return sc.ServiceBook.from_bytes(path.read_bytes(), strict=True)
    except (OSError, sc.RecordInvalid) as error:
        raise RunError(f"is no service book: {why(error)}", where=place, todo="Name a folder of documents") from error


def _unreadable(entry: Entry, why: str) -> RunError:
    return RunError(
        f"cannot be understood: {why}", where=entry.id, code="DOCUMENT_UNREADABLE",
        todo="Write `owner: TEXT`, `escalation: [TEXT]`, `business: [METRIC]`, "
        "`objectives: [{of: error_ratio|latency, most: NUMBER}]`",
    )  # fmt: skip
