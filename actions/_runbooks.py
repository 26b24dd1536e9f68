"""Runbooks: what to do about a cause, readable by people and machines, checked when they are loaded.

A runbook may only use declared verbs, and its parameters are texts or references from a closed set: there is no
template language, so nothing that came in with telemetry can become part of a command by being put into a text.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from actions._errors import ActionsError, ReferenceUnresolved, RunbookError, UnknownVerb
from actions._services import SERVICE_FACTS
from actions._verbs import Verbs
from actions._yaml import Located, Path
from schemas import Cause, Change, ChangeKind, Json, ProposedChange

REFERENCES: dict[str, str] = {
    "cause.service": "plain name of the service that is the cause",
    "cause.service_id": "entity id of that service",
    "cause.entity_id": "entity id of the cause itself, for example one pod",
    "cause.family": "fault family",
    "cause.change": "id of the change that is the cause",
    "change.service": "service that was changed",
    "change.entity_id": "entity id of what was changed",
    "change.version_from": "version before the change",
    "change.version_to": "version after the change",
    "change.reference": "commit, pull request or ticket of the change",
    "incident.id": "id of the incident",
    "reason": "why nothing better is proposed, a stable code",
    **{f"service.{name}": f"{about}, by the settings of the cause's service" for name, about in SERVICE_FACTS.items()},
}
"""Every reference that a runbook may use, as `${name}`, and what it means."""

CalendarKind = Literal["maintenance", "peak", "freeze", "business"]
Text = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class When(_Strict):
    """When a runbook fits. An empty list means any; `otherwise` marks the one that is taken if no other fits.

    during, not_during: what the calendar says of the service at the time of the diagnosis. needs: references without
    which it does not fit, so that another one may.
    """

    families: list[str] = []
    has_change: bool | None = None
    change_kinds: list[ChangeKind] = []
    during: list[CalendarKind] = []
    not_during: list[CalendarKind] = []
    needs: list[Text] = []
    otherwise: bool = False

    def fits(self, cause: Cause, change: Change | None, around: Collection[str], facts: Collection[str]) -> bool:
        """around: kinds of calendar entries; facts: references that have an answer. An unknown kind of change does not
        fit.
        """
        return (
            not self.otherwise
            and (not self.during or any(kind in around for kind in self.during))
            and not any(kind in around for kind in self.not_during)
            and all(name in facts for name in self.needs)
            and (not self.families or cause.family in self.families)
            and (self.has_change is None or self.has_change == (cause.change is not None))
            and (not self.change_kinds or (change is not None and change.kind in self.change_kinds))
        )


class Step(_Strict):
    id: Text
    verb: Text
    target: Text
    parameters: dict[str, Text] = {}
    irreversible: bool = False
    """Said by people: here there is no way back, which takes two approvals."""
    revert_after_s: int | None = Field(default=None, ge=60)
    """The change is temporary and taken back so long after its success, once the target has been well as long."""


class Given(_Strict):
    """The cause of a case: a service, a family, the change where there is one, and what is known around it."""

    service: str = "checkout"
    family: str = "error"
    change: Change | None = None
    during: list[CalendarKind] = []
    known: dict[str, Json] = {}
    """What settings say of the service, by the names after `service.`."""
    reason: str = "NO_RUNBOOK"


class Proposal(_Strict):
    verb: str
    target: str
    parameters: dict[str, Json]
    revert_after_s: int | None = None


class Case(_Strict):
    """One example of a runbook: what it proposes for a cause; nothing where it does not fit."""

    name: str
    given: Given
    expect: list[Proposal]


class Runbook(_Strict):
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    title: Text
    priority: int = 0
    when: When
    steps: list[Step] = Field(min_length=1)
    safety: list[Text] = Field(min_length=1)
    """What people should know before they follow it."""
    cases: list[Case] = Field(min_length=1)

    def proposals(self, facts: Mapping[str, Json], verbs: Verbs) -> list[ProposedChange]:
        """The exact changes of all steps, in order. Raises ReferenceUnresolved, ParametersInvalid, SelectorInvalid."""
        return [
            verbs.change(
                step.verb,
                str(_resolved(step.target, facts)),
                {name: _resolved(value, facts) for name, value in step.parameters.items()},
                self.id,
                irreversible=step.irreversible,
                revert_after_s=step.revert_after_s,
            )
            for step in self.steps
        ]


class Failure(NamedTuple):
    """A case that does not hold."""

    where: str
    name: str
    what: str


class Runbooks:
    """Loaded and checked runbooks; exactly one of them says `otherwise`."""

    def __init__(self, runbooks: Iterable[Runbook]) -> None:
        """Raises RunbookError if an id is there twice, or if there is not exactly one `otherwise`."""
        self.runbooks = sorted(runbooks, key=lambda r: (-r.priority, r.id))
        ids = [r.id for r in self.runbooks]
        if twice := sorted({id for id in ids if ids.count(id) > 1}):
            raise RunbookError(f"runbook '{twice[0]}' is there twice")
        rest = [r for r in self.runbooks if r.when.otherwise]
        if len(rest) != 1:
            raise RunbookError(
                f"{len(rest)} runbooks say `otherwise: true`", todo="Exactly one must: who is told at last"
            )
        self.otherwise = rest[0]

    def choose(
        self, cause: Cause, change: Change | None, around: Collection[str] = (), facts: Collection[str] = ()
    ) -> Runbook:
        """The fitting runbook of highest priority (ties by id), or the `otherwise` one. Arguments as of `When.fits`."""
        return next((r for r in self.runbooks if r.when.fits(cause, change, around, facts)), self.otherwise)


def load_runbooks(texts: Mapping[str, str], verbs: Verbs) -> Runbooks:
    """All runbooks; `texts` maps a file name, as people see it, to its text. Raises RunbookError with file and line."""
    return Runbooks([_checked(Located(texts[where], where, RunbookError), verbs) for where in sorted(texts)])


def run_cases(texts: Mapping[str, str], verbs: Verbs) -> list[Failure]:
    """The cases of all files that do not hold; empty if all do. Raises RunbookError."""
    failures = []
    for where in sorted(texts):
        document = Located(texts[where], where, RunbookError)
        runbook = _checked(document, verbs)
        for index, case in enumerate(runbook.cases):
            if (got := _outcome(runbook, case.given, verbs)) != case.expect:
                what = f"expected {case.expect}, got {got}"
                failures.append(Failure(document.at(("cases", index)), case.name, what))
    return failures


def facts_of(
    cause: Cause, change: Change | None, *, tenant: str, incident_id: str, reason: str,
    known: Mapping[str, Json] | None = None,
) -> dict[str, Json]:  # fmt: skip
    """What the references answer for one cause; a reference without an answer is absent. known: of its service."""
    facts: dict[str, Json] = {
        "cause.service": cause.entity,
        "cause.service_id": f"{tenant}/service/{cause.entity}",
        "cause.entity_id": cause.entity_id,
        "cause.family": cause.family,
        "cause.change": cause.change,
        "incident.id": incident_id,
        "reason": reason,
    }
    if change is not None:
        names = ("service", "entity_id", "version_from", "version_to", "reference")
        facts |= {f"change.{name}": getattr(change, name) for name in names}
    facts |= {f"service.{name}": value for name, value in (known or {}).items() if name in SERVICE_FACTS}
    return {name: value for name, value in facts.items() if value is not None}


def _outcome(runbook: Runbook, given: Given, verbs: Verbs) -> list[Proposal]:
    change, service = given.change, given.service
    id = change.id if change else None
    cause = Cause(entity=service, entity_id=f"default/service/{service}", family=given.family, change=id)
    facts = facts_of(cause, change, tenant="default", incident_id="incident-1", reason=given.reason, known=given.known)
    if not (runbook.when.otherwise or runbook.when.fits(cause, change, given.during, facts)):
        return []
    try:
        found = runbook.proposals(facts, verbs)
    except ActionsError:
        return []
    return [
        Proposal(verb=c.verb, target=c.target, parameters=c.parameters, revert_after_s=c.revert_after_s) for c in found
    ]


def _resolved(text: str, facts: Mapping[str, Json]) -> Json:
    if (name := _reference(text)) is None:
        return text
    if name not in facts:
        raise ReferenceUnresolved(f"'{text}' has no answer here")
    return facts[name]


def _reference(text: str) -> str | None:
    return text[2:-1] if text.startswith("${") and text.endswith("}") and text.count("${") == 1 else None


def _checked(document: Located, verbs: Verbs) -> Runbook:
    runbook = document.parse(Runbook)
    for index, name in enumerate(runbook.when.needs):
        _check_text("${" + name + "}", document.at(("when", "needs", index)))
    for index, step in enumerate(runbook.steps):
        here: Path = ("steps", index)
        try:
            verb = verbs.get(step.verb)
        except UnknownVerb as unknown:
            raise RunbookError(
                f"step '{step.id}': {unknown.what}", where=document.at((*here, "verb")), todo=unknown.todo
            ) from unknown
        _check_text(step.target, document.at((*here, "target")))
        for name, value in step.parameters.items():
            place = document.at((*here, "parameters", name))
            if name not in verb.parameters.model_fields:
                known = ", ".join(verb.parameters.model_fields)
                raise RunbookError(
                    f"step '{step.id}': {step.verb} has no parameter '{name}'", where=place, todo=f"It has: {known}"
                )
            _check_text(value, place)
        for name, field in verb.parameters.model_fields.items():
            if field.is_required() and name not in step.parameters:
                raise RunbookError(
                    f"step '{step.id}' does not say '{name}', which {step.verb} needs", where=document.at(here)
                )
        if not verb.is_reversible and verb.risk != "none" and not step.irreversible:
            what = f"step '{step.id}' has no compensation ({step.verb} cannot be undone) and is not marked irreversible"
            todo = "Use another verb or add `irreversible: true` (then two approvals are required)"
            raise RunbookError(what, where=document.at(here), todo=todo)
        if step.revert_after_s is not None and (step.irreversible or not verb.is_reversible):
            what = f"step '{step.id}' is to be taken back after a while, and {step.verb} cannot be undone"
            raise RunbookError(what, where=document.at(here))
    if len({step.revert_after_s for step in runbook.steps}) > 1:
        what = "some steps are taken back after a while and others are not, or not after the same time"
        raise RunbookError(what, where=document.at(("steps",)), todo="All steps are one action: give each the same")
    return runbook


def _check_text(text: str, where: str) -> None:
    if "${" not in text:
        return
    name = _reference(text)
    if name is None:
        raise RunbookError(
            f"'{text}' mixes text and references", where=where, todo="A value is a text or one `${reference}`"
        )
    if name not in REFERENCES:
        near = difflib.get_close_matches(name, REFERENCES, n=1)
        todo = f"Did you mean '${{{near[0]}}}'?" if near else f"Known references: {', '.join(REFERENCES)}"
        raise RunbookError(f"unknown reference '{text}'", where=where, todo=todo)
