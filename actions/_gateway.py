"""The rules of the gateway, the only holder of credentials: what it checks before it writes. Pure; time is told.

It trusts no one: not the worker that asks (it may be old, doubled or stolen), not the catalogue that built the change,
not the policies. Each check stands alone, so that it still holds where every check before it was lost. `check` needs
no target and comes first; `check_target` is held against the reading that the conditional write then names.
Source: the outages and the crash table that docs/actions.md answers; a named reason, never a bare no.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from actions._contract import Verb
from actions._errors import ActionsError
from actions._executor import Effect, Mark, Reading
from actions._kill import FRESH_NS, covers, is_revoked
from actions._permit import LONGEST_MS, MS, Permit, claims_of, open_permit, written
from actions._ports import EffectRequest, Watch
from actions._saga import Direction
from actions._verbs import Verbs, digest_of, service_of
from schemas import Json, ProposedChange, canonical, sha256
from schemas.core import NS

Reason = Literal[
    "MAY_WRITE", "ANSWERED", "IN_DOUBT", "SENT_BEFORE",
    "MALFORMED", "KEY_UNKNOWN", "BAD_SIGNATURE", "WRONG_AUDIENCE", "OTHER_REQUEST", "OTHER_DIGEST", "KEY_REUSED",
    "SELECTOR_INVALID", "UNKNOWN_VERB", "PARAMETERS_INVALID", "NO_UNDO", "NO_EXECUTOR", "OUT_OF_SCOPE", "EFFECT_CLASS",
    "UNSAFE_UNAPPROVED", "LIVES_TOO_LONG", "NOT_YET_VALID", "EXPIRED", "OLD_EVIDENCE", "KILL_STATE_OLD", "KILLED",
    "KEY_REVOKED", "STALE_EPOCH", "EPOCH_USED",
    "VERSION_MOVED", "OTHER_DRY_RUN", "NOT_AS_EXPECTED", "ALREADY_SO", "NOT_OUR_MARK", "BELOW_FLOOR", "OVER_LIMIT",
]  # fmt: skip
UNPROVED: frozenset[Reason] = frozenset({
    "MALFORMED", "KEY_UNKNOWN", "BAD_SIGNATURE", "WRONG_AUDIENCE", "OTHER_REQUEST", "KEY_REUSED",
})  # fmt: skip
"""Refusals that are not kept as the answer to an attempt: nobody has proved that the attempt was asked for."""

SKEW_NS = 2 * NS
"""How far a permit's clock may be ahead of ours."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:@-]{0,252}[A-Za-z0-9])?")
_EVERYTHING = {"all", "any", "everything", "none", "null"}


class Verdict(NamedTuple):
    """A named reason, and a sentence for people."""

    reason: Reason
    text: str = ""

    @property
    def may_write(self) -> bool:
        return self.reason == "MAY_WRITE"


class Name(NamedTuple):
    """One attempt; its answer never changes."""

    key: str
    step: int
    direction: Direction
    epoch: int


class Kept(NamedTuple):
    """What the gateway has said about an attempt; `begun`: it went to write and does not know what became of it."""

    result: Literal["begun", "applied", "not_applied", "lost"]
    reason: str
    request_digest: str


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows that matters for one request: highest epoch of its target, who used it, the answer kept.

    was_sent: the same step in the same direction was written, or may have been, under another epoch.
    """

    epoch: int = 0
    user: Name | None = None
    kept: Kept | None = None
    was_sent: bool = False


@dataclass(frozen=True, slots=True)
class Trust:
    """What this gateway was set up to do. Nothing is allowed by default.

    keys: public keys (32 bytes) of decision processes by id; revoked ones are simply not there. scopes: beginnings of
    entity ids, each ending in `/` or naming one whole entity. floors: units that must go on serving, by entity id;
    over the share that the verb says.
    """

    audience: str
    keys: Mapping[str, bytes]
    scopes: tuple[str, ...] = ()
    floors: Mapping[str, int] | None = None
    evidence_limit_ns: int | None = None
    """An upper bound for all verbs, under their own."""


def check(
    trust: Trust, verbs: Verbs, known: Known, watch: Watch | None, request: EffectRequest, now_ns: int
) -> tuple[Verdict, Permit | None]:
    """Everything that can be checked without the target; the permit if it is proved.

    watch: the kill switch as last read, None if it never was. `ANSWERED` and `IN_DOUBT` say that the store has it;
    `SENT_BEFORE` that one look at the target tells more than we do.
    """
    permit, fault = _proved(trust, request)
    if permit is None:
        return fault, None
    if known.kept is not None:
        if known.kept.request_digest != request_digest(request):
            return Verdict("KEY_REUSED", "the same attempt was asked for with another content"), permit
        return Verdict("IN_DOUBT" if known.kept.result == "begun" else "ANSWERED", known.kept.reason), permit
    fault = check_change(trust, verbs, request.change, request.direction, request.target)
    if fault.may_write:
        fault = _class(verbs, permit)
    if fault.may_write:
        fault = _times(trust, verbs, permit, now_ns)
    if fault.may_write:
        fault = check_kill(watch, permit, now_ns)
    if fault.may_write:
        fault = _epoch(known, name_of(request))
    return fault, permit


def _proved(trust: Trust, request: EffectRequest) -> tuple[Permit | None, Verdict]:
    opened = open_permit(request.permit)
    if isinstance(opened, str):
        return None, Verdict("MALFORMED", opened)
    permit = opened.permit
    if permit.kid not in trust.keys:
        return None, Verdict("KEY_UNKNOWN", f"no key '{permit.kid}' signs permits here")
    if not opened.is_signed_by(trust.keys[permit.kid]):
        return None, Verdict("BAD_SIGNATURE", f"it is not signed by '{permit.kid}'")
    if permit.aud != trust.audience:
        return None, Verdict("WRONG_AUDIENCE", f"it is for '{permit.aud}'")
    stated = permit.model_dump()
    other = [field for field, value in claims_of(request).items() if stated[field] != value]
    if other:
        return None, Verdict("OTHER_REQUEST", f"the permit has another {', '.join(other)}")
    return permit, Verdict("MAY_WRITE")


def check_change(
    trust: Trust, verbs: Verbs, change: ProposedChange, direction: Direction, target: str
) -> Verdict:  # fmt: skip
    """Whether the change is whole, exact, of a verb that this gateway knows, and within its scope."""
    if digest_of(change) != change.digest:
        return Verdict("OTHER_DIGEST", "the digest is not that of the change")
    if target != change.target or not is_plain(target):
        return Verdict("SELECTOR_INVALID", f"the target {target!r} does not name exactly one entity")
    name = change.verb if direction == "do" else change.undo_verb
    parameters = change.parameters if direction == "do" else change.undo_parameters
    if name is None:
        return Verdict("NO_UNDO", f"{change.verb} has no undo here")
    if name not in verbs.names:
        return Verdict("UNKNOWN_VERB", f"'{name}' is not declared here")
    verb = verbs.get(name)
    for field in verb.selectors:
        if not _names_one(parameters.get(field)):
            return Verdict("SELECTOR_INVALID", f"{name}: '{field}' is absent, empty or means many")
    if target.split("/")[1] not in verb.target_kinds:
        return Verdict("SELECTOR_INVALID", f"{name} is not for a {target.split('/')[1]}")
    try:
        effect_of(verbs, change, direction)
    except ActionsError as error:
        return Verdict("PARAMETERS_INVALID", str(error)[:200])
    if name not in verbs.executors:
        return Verdict("NO_EXECUTOR", f"nothing here performs {name}")
    if not any(target == scope or (scope.endswith("/") and target.startswith(scope)) for scope in trust.scopes):
        return Verdict("OUT_OF_SCOPE", f"{target} is not within what this gateway may touch")
    return Verdict("MAY_WRITE")


def is_plain(target: str) -> bool:
    """Whether it is `tenant/kind/name...` of plain names; an allow-list, where the catalogue has a deny-list.

    >>> is_plain("default/service/checkout"), is_plain("default/service/*"), is_plain("default/service/")
    (True, False, False)
    """
    parts = target.split("/") if isinstance(target, str) else []
    return len(parts) >= 3 and all(_NAME.fullmatch(part) for part in parts) and parts[-1].lower() not in _EVERYTHING


def _names_one(value: Json) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return value >= 0
    if not isinstance(value, str) or value.lower() in _EVERYTHING:
        return False
    return all(_NAME.fullmatch(part) for part in value.split("/"))


def _class(verbs: Verbs, permit: Permit) -> Verdict:
    declared = verbs.get(permit.verb).effect_class
    if permit.direction == "do" and permit.effect_class != declared:
        return Verdict("EFFECT_CLASS", f"{permit.verb} is {declared}, and the permit says {permit.effect_class}")
    if declared == "unsafe" and not permit.approved_by:
        return Verdict("UNSAFE_UNAPPROVED", f"a repeat of {permit.verb} has an effect, and no person has approved it")
    if permit.direction == "do" and declared == "conditional" and not permit.target_version:
        return Verdict("VERSION_MOVED", "a conditional write needs the version that was looked at")
    return Verdict("MAY_WRITE")


def _times(trust: Trust, verbs: Verbs, permit: Permit, now_ns: int) -> Verdict:
    now_ms = now_ns // MS
    if permit.expires_ms - permit.issued_ms > LONGEST_MS:
        return Verdict("LIVES_TOO_LONG", f"a permit lives {LONGEST_MS // 1000} s at most")
    if permit.issued_ms > now_ms + SKEW_NS // MS:
        return Verdict("NOT_YET_VALID", "it was issued in the future")
    if now_ms >= permit.expires_ms:
        return Verdict("EXPIRED", f"it ran out {now_ms - permit.expires_ms} ms ago")
    limit_ms = verbs.get(permit.verb).evidence_limit_s * 1000
    if trust.evidence_limit_ns is not None:
        limit_ms = min(limit_ms, trust.evidence_limit_ns // MS)
    if permit.direction == "do" and now_ms - permit.evidence_ms > limit_ms:
        return Verdict("OLD_EVIDENCE", f"the evidence is {now_ms - permit.evidence_ms} ms old, {limit_ms} are allowed")
    return Verdict("MAY_WRITE")


def check_kill(watch: Watch | None, permit: Permit, now_ns: int) -> Verdict:
    """Asked before the target is read and again right before the write. No news of the switch is bad news."""
    if watch is None or abs(now_ns - watch.looked_ns) > FRESH_NS:
        return Verdict("KILL_STATE_OLD", "the kill switch was not read in the last 5 s")
    if is_revoked(watch.scopes, permit.kid):
        return Verdict("KEY_REVOKED", f"the key '{permit.kid}' was revoked by a signed order")
    scope = covers(watch.scopes, permit.verb, service_of(permit.target), permit.target)
    if scope and not (permit.direction == "undo" and permit.is_under_kill):
        return Verdict("KILLED", f"the kill switch is on for {scope}")
    return Verdict("MAY_WRITE")


def _epoch(known: Known, name: Name) -> Verdict:
    if name.epoch < known.epoch:
        return Verdict("STALE_EPOCH", f"epoch {name.epoch} is fenced, the target is at {known.epoch}")
    if name.epoch == known.epoch and known.user not in (None, name):
        return Verdict("EPOCH_USED", f"epoch {name.epoch} has carried another attempt")
    if known.was_sent:  # a ledger that was restored from a copy asks for what it has forgotten
        return Verdict("SENT_BEFORE", f"this step was sent before under another epoch than {name.epoch}")
    return Verdict("MAY_WRITE")


def check_target(trust: Trust, verb: Verb, effect: Effect, permit: Permit, reading: Reading) -> Verdict:
    """Held against the reading that the conditional write names, so nothing can move in between.

    An undo is for our mark only: somebody who changed the target since knows more than we do.
    """
    state, parameters = reading.state, verb.parameters.model_validate(dict(effect.parameters))
    if permit.direction == "undo" and verb.effect_class != "keyed":
        mark = reading.mark
        if mark is None or (mark.key, mark.step, mark.direction) != (permit.action_key, permit.step, "do"):
            return Verdict("NOT_OUR_MARK", "the target does not carry our mark any more")
    elif permit.target_version and reading.version != permit.target_version:
        return Verdict(
            "VERSION_MOVED", f"{effect.target} is at {reading.version}, {permit.target_version} was approved"
        )
    if permit.dry_run_digest and diff_digest(effect, reading) != permit.dry_run_digest:
        return Verdict("OTHER_DRY_RUN", "it would change something else than the dry run showed")
    moved = {field for field, value in effect.expects.items() if state.get(field) != value}
    if not differing(effect, reading):
        return Verdict("ALREADY_SO", "the target is so already, and not by this attempt")
    if moved:
        field = min(moved)
        return Verdict("NOT_AS_EXPECTED", f"{field} is {state.get(field)!r}, {effect.expects[field]!r} is expected")
    over = verb.limit(parameters, state)
    if over is not None:
        return Verdict("OVER_LIMIT", over)
    return _floor(trust, verb, effect, reading, verb.taken(parameters, state))


def _floor(trust: Trust, verb: Verb, effect: Effect, reading: Reading, taken: int) -> Verdict:
    floor = (trust.floors or {}).get(effect.target, 0)
    if taken <= 0:
        return Verdict("MAY_WRITE")
    if reading.capacity is None:
        return Verdict("BELOW_FLOOR", f"nobody knows how much of {effect.target} serves, so nothing is taken from it")
    ready, desired = reading.capacity
    floor = max(floor, math.ceil(verb.capacity_floor * desired))
    if ready - taken < floor:
        return Verdict("BELOW_FLOOR", f"{ready} of {desired} serve, {taken} would be away, {floor} must stay")
    return Verdict("MAY_WRITE")


def effect_of(verbs: Verbs, change: ProposedChange, direction: Direction) -> Effect:
    """What is written for a change or its undo. Raises UnknownVerb or ParametersInvalid."""
    name = change.verb if direction == "do" else change.undo_verb or ""
    given = change.parameters if direction == "do" else change.undo_parameters
    verb, parsed = verbs.get(name), verbs.parse(name, given)
    return Effect(name, change.target, parsed.model_dump(mode="json"), verb.expects(parsed), verb.sets(parsed))


def differing(effect: Effect, reading: Reading) -> dict[str, list[Json]]:
    """Field to [before, after], of the fields that would change; the exact diff."""
    return {
        field: [reading.state.get(field), value]
        for field, value in sorted(effect.sets.items())
        if reading.state.get(field) != value
    }


def diff_digest(effect: Effect, reading: Reading) -> str:
    """Over target, uid, verb and the exact diff; what an approval shows and a permit repeats."""
    diff: dict[str, Json] = {field: list(pair) for field, pair in differing(effect, reading).items()}
    return sha256(canonical({"target": effect.target, "uid": reading.uid, "verb": effect.verb, "diff": diff}))


def request_digest(request: EffectRequest) -> str:
    """Over what an attempt asks for, without its permit and its times: the same key with another one is refused."""
    verb, parameters = written(request)
    content: list[Json] = [request.plan_digest, request.change.digest, request.target, verb, parameters]
    return sha256(canonical(content))


def name_of(request: EffectRequest) -> Name:
    return Name(request.key, request.step, request.direction, request.epoch)


def mark_of(request: EffectRequest) -> Mark:
    return Mark(request.key, request.step, request.direction, request.epoch)
