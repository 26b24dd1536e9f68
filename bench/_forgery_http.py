"""The eight classes of `_forgery.py` through the HTTP interface: real ledger, desk and application, in one process.

`accepted(way, rng)` makes one attempt and says whether more people counted than truly approved, at once or later.
"""

import json
import random
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actions import Docket, KeyRing, dump_docket
from actions._docket import PREFIX
from actions._ledger import Keep, Transaction, write
from bench._approval_office import PROPOSER, Office
from bench._forgery import PEOPLE, SECOND, WAYS, digest
from schemas import canonical


def accepted(way: str, rng: random.Random) -> bool:
    """One attempt. True would be a hole."""
    return _WAYS[way](Office(value=rng.randrange(4, 10**6)), rng, rng.choice(PEOPLE[:4]))


def control(rng: random.Random) -> bool:
    """Two right approvals move the action on."""
    office, people = Office(value=rng.randrange(4, 10**6)), rng.sample(PEOPLE[:4], 2)
    return [office.vote(office.sign(person)) for person in people] == ["ACCEPTED"] * 2 and office.state() == "approved"


def _forged(office: Office, rng: random.Random, person: str) -> bool:
    envelope, kind = office.sign(person), rng.randrange(4)
    outer = json.loads(envelope)
    if kind == 0:
        envelope = office.sign(person, key=Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)))
    elif kind == 1:
        envelope = office.sign(person, kid=rng.choice([one for one in PEOPLE[:4] if one != person]))
    elif kind == 2:
        outer["signatures"][0]["sig"] = b64encode(rng.randbytes(64)).decode()
        envelope = canonical(outer)
    else:
        data = bytearray(envelope)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        envelope = bytes(data)
    office.vote(envelope)
    return bool(office.people())


def _replayed(office: Office, rng: random.Random, person: str) -> bool:
    envelope = office.sign(person)
    office.vote(envelope)
    if rng.random() < 0.3:
        office.open_again()
    if rng.random() < 0.5:
        office.vote(envelope)
        return len(office.people()) > 1
    other = Office(value=rng.randrange(4, 10**6))
    other.sign(person)
    other.vote(envelope)
    return bool(other.people())


def _expired(office: Office, rng: random.Random, person: str) -> bool:
    envelope, late = office.sign(person), rng.randrange(900, 10**7)
    if rng.random() < 0.5:
        office.vote(envelope)
        office.now_s += late
    else:
        office.now_s += late
        office.vote(envelope)
    return bool(office.people())


def _duplicate(office: Office, rng: random.Random, person: str) -> bool:
    office.vote(office.sign(person))
    second = rng.random() < 0.5
    office.vote(office.sign(person, key=SECOND[person] if second else None, kid=f"{person}-2" if second else person))
    return len(office.people()) > 1 or bool(office.told)


def _self(office: Office, rng: random.Random, person: str) -> bool:
    office.vote(office.sign(PROPOSER))
    return bool(office.people())


def _other_digest(office: Office, rng: random.Random, person: str) -> bool:
    name = rng.choice(["action_digest", "plan_digest", "dryrun_digest", "policy_digest", "target_version"])
    if rng.random() < 0.5:
        office.vote(office.sign(person, **{name: digest(rng)}))
        return bool(office.people())
    office.vote(office.sign(person))
    docket = office.desk.docket(office.id)
    changed: Docket = replace(docket, ask=replace(docket.ask, **{name: digest(rng)}))
    write(office.ledger, Transaction(0, keeps=(Keep(PREFIX + office.id, dump_docket(changed)),)))
    return bool(office.people())


def _revoked(office: Office, rng: random.Random, person: str) -> bool:
    return _changed_ring(office, rng, person, lambda: office.ring.revoke(person, office.now_s))


def _role_removed(office: Office, rng: random.Random, person: str) -> bool:
    roles = rng.choice([frozenset[str](), frozenset({"viewer"})])
    return _changed_ring(office, rng, person, lambda: office.ring.with_roles(person, roles))


def _changed_ring(office: Office, rng: random.Random, person: str, change: Callable[[], KeyRing]) -> bool:
    envelope = office.sign(person)
    if rng.random() < 0.5:
        office.vote(envelope)
        office.ring = change()
    else:
        office.ring = change()
        office.vote(envelope)
    return bool(office.people())


_WAYS: dict[str, Callable[[Office, random.Random, str], bool]] = {
    "forged": _forged,
    "replayed": _replayed,
    "expired": _expired,
    "duplicate person": _duplicate,
    "self": _self,
    "other digest": _other_digest,
    "revoked": _revoked,
    "role removed": _role_removed,
}
assert _WAYS.keys() == WAYS.keys()
