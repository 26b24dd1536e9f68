"""What counts for autonomy without having happened here: drills measured elsewhere, decisions of history judged anew.

Nobody is believed a number. A drill is an ended action of another deployment's ledger with its measured verdict; a
replay judges the decisions of history by the rules of now, and counts where the outcome is known. The same history
also says whether a new version decides the same: then what the old one earned is kept. Both are handed to the worker
signed by who may give orders, for one deployment; handed in again they change nothing.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from actions._autonomy import LOOKS, Result, Trial, trials_of
from actions._dsse import is_sealed_by, open_payload, seal_payload
from actions._errors import ActionsError
from actions._machine_types import Action
from actions._plans import version_of
from actions._policy_history import History, Judged
from actions._verbs import Verbs
from schemas import ActionEvent

KIND = "application/vnd.tidegate.credit+json"
MOST_BYTES = 4 << 20
LEAST = LOOKS[0]
"""So many decisions of a verb must be the same before a new version is taken for the old one: as for the first look."""
_RESULTS: dict[str, Result] = {
    "succeeded": "good", "rolled_back": "rolled_back", "escalated": "failed", "rejected": "overridden",
}  # fmt: skip


class CreditInvalid(ActionsError):
    """A credit that is not signed by who may give one, or not for us."""

    code = "CREDIT_INVALID"


class Credit(NamedTuple):
    """same: versions that the present one was shown to decide like."""

    trials: tuple[Trial, ...] = ()
    same: tuple[str, ...] = ()


class Shown(NamedTuple):
    """What history says of one verb and runbook. missing: why its level is not kept, empty where it is."""

    verb: str
    runbook: str
    decisions: int
    changed: int
    not_judged: int
    trials: int
    missing: tuple[str, ...]


def drilled(ended: Iterable[Action]) -> tuple[Trial, ...]:
    """Of the ended actions of another deployment; what it counts as a trial is a drill here."""
    return tuple(one._replace(kind="drill") for action in ended for one in trials_of(action) if one.kind == "action")


def replayed(history: History, events: Iterable[ActionEvent], verbs: Verbs, digest: str) -> tuple[Credit, list[Shown]]:
    """What history, judged by the rules with this digest, is worth. events: also the ends of the actions."""
    ends = {one.action_id: one.state for one in events if one.state in _RESULTS}
    rows: dict[tuple[str, str], list[Judged]] = {}
    for row in history.rows:
        rows.setdefault((row.event.change.verb, row.event.change.runbook), []).append(row)
    trials, same, shown = list[Trial](), set[str](), list[Shown]()
    for (name, runbook), found in sorted(rows.items()):
        if name not in verbs.names:
            continue
        now = version_of([verbs.get(name)], runbook, digest)
        mine = [trial for row in found if (trial := _agreement(row, ends.get(row.event.action_id), now))]
        changed, not_judged = sum(row.is_changed for row in found), sum(row.would is None for row in found)
        older = {version_of([verbs.get(name)], runbook, row.was.policy_digest) for row in found} - {now}
        missing = _missing(len(found), changed, not_judged)
        if not missing:
            same |= older
        trials += mine
        shown.append(Shown(name, runbook, len(found), changed, not_judged, len(mine), missing))
    return Credit(tuple(trials), tuple(sorted(same))), shown


def seal_credit(credit: Credit, aud: str, issuer: str, issued_ns: int, key: Ed25519PrivateKey) -> bytes:
    """Signed; times as text, because JSON has no integers of that length."""
    body: dict[str, Any] = {
        "aud": aud, "issued_ns": str(issued_ns), "same": [*credit.same],
        "trials": [one._asdict() | {"at_ns": str(one.at_ns)} for one in credit.trials],
    }  # fmt: skip
    return seal_payload(KIND, body, issuer, key)


def open_credit(envelope: bytes, aud: str, keys: Mapping[str, Ed25519PublicKey]) -> tuple[Credit, str]:
    """The credit and who gave it. Raises CreditInvalid."""
    try:
        sealed = open_payload(KIND, envelope, MOST_BYTES)
        key = keys.get(sealed.kid)
        if key is None or not is_sealed_by(KIND, sealed.payload, sealed.signature, key.public_bytes_raw()):
            raise CreditInvalid(f"'{sealed.kid[:80]}' has not signed it, or may not give one")
        value = json.loads(sealed.payload)
        if value["aud"] != aud or value.keys() != {"aud", "issued_ns", "same", "trials"}:
            raise CreditInvalid(f"it is for '{str(value.get('aud'))[:80]}'")
        trials = tuple(_trial(one) for one in value["trials"])
        return Credit(trials, tuple(str(one) for one in value["same"])), sealed.kid
    except (ValueError, KeyError, TypeError) as error:
        raise CreditInvalid(f"it cannot be read: {str(error)[:200]}") from error


def _trial(value: dict[str, Any]) -> Trial:
    trial = Trial(**value | {"at_ns": int(value["at_ns"])})
    if trial.kind not in ("drill", "replay") or trial.result not in _RESULTS.values():
        raise CreditInvalid(f"{trial.kind} {trial.result} is no credit: own actions count by themselves")
    return trial


def _agreement(row: Judged, end: str | None, version: str) -> Trial | None:
    """Where the rules of now would have let the same happen, its outcome; nothing where nobody knows one."""
    if end is None or row.would is None or row.is_changed or row.would.effect in ("deny", "advise"):
        return None
    event = row.event
    tier, family = str(event.snapshot.get("tier", "standard")), event.hypothesis.cause.family
    return Trial(event.change.verb, tier, version, family, event.at_ns, _RESULTS[end], "replay")


def _missing(decisions: int, changed: int, not_judged: int) -> tuple[str, ...]:
    found = list[str]()
    if decisions < LEAST:
        found.append(f"{LEAST - decisions} more decisions in history")
    if changed:
        found.append(f"{changed} of {decisions} would be decided otherwise")
    if not_judged:
        found.append(f"{not_judged} cannot be judged again")
    return tuple(found)
