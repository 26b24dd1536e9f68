"""People: who approves and who forges. Each has a key of their own; the malicious one has a whole box of tricks.

What each honest person truly said about which digest is written down here and nowhere in the house: the oracle counts
quorums by it.
"""

from dataclasses import replace
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from actions import Ask, EnrolledKey, KeyRing, challenge, seal
from simulation._chance import Chance

AUDIENCE = "simulation"
AGENT = "tidegate#worker"
ROLES = {"idp#ann": "service-owner", "idp#bob": "sre", "idp#eve": "sre", "idp#gil": "service-owner", "idp#mal": "sre"}
TRICKS = ("forged", "repeated", "foreign", "expired", "self", "revoked", "no_role", "other_digest")


class Said(NamedTuple):
    """What a person truly said: of which action and plan, until when it counts."""

    person: str
    key: str
    digest: str
    at_ns: int
    until_ns: int
    is_approval: bool


class Person(NamedTuple):
    name: str
    role: str
    kid: str
    key: Ed25519PrivateKey


def _key(name: str) -> Ed25519PrivateKey:
    """The same key in every run: it guards nothing but a simulation."""
    from hashlib import sha256

    return Ed25519PrivateKey.from_private_bytes(sha256(f"simulation/{name}".encode()).digest())


PEOPLE = tuple(Person(name, role, f"key-{name}", _key(name)) for name, role in ROLES.items())
AGENT_KEY = _key(AGENT)
STRANGER = Person("idp#nobody", "sre", "key-idp#nobody", _key("idp#nobody"))


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def enrolled(at_s: int) -> KeyRing:
    """Everybody's keys and roles; those of `mal` are revoked and taken away again, as of somebody who has left."""
    ring = KeyRing()
    for one in PEOPLE:
        ring = ring.enrol(EnrolledKey(one.kid, one.name, public(one.key), "A", at_s))
        ring = ring.with_roles(one.name, frozenset({one.role}))
    ring = ring.enrol(EnrolledKey("key-agent", AGENT, public(AGENT_KEY), "A", at_s)).with_roles(
        AGENT, frozenset({"sre"})
    )
    return ring.revoke("key-idp#mal", at_s).with_roles("idp#mal", frozenset())


RING = enrolled(0)


def signed(person: Person, ask: Ask, nonce: str, now_s: int, decision: str = "approve") -> bytes:
    """The envelope of what the person says."""
    return seal(challenge(ask, person.name, person.role, person.kid, nonce, now_s, decision), person.key)


def trick(chance: Chance, ask: Ask, nonce: str, now_s: int, seen: list[bytes]) -> bytes:
    """One attempt of the malicious one; none of them may count."""
    kind = chance.pick(TRICKS)
    mal, ann = PEOPLE[-1], PEOPLE[0]
    if kind in ("repeated", "foreign") and seen:
        return chance.pick(seen)
    if kind == "expired":
        return signed(ann, ask, nonce, now_s - 3600)
    if kind == "self":
        return signed(Person(AGENT, "sre", "key-agent", AGENT_KEY), ask, nonce, now_s)
    if kind in ("revoked", "no_role"):
        return signed(mal, ask, nonce, now_s)
    if kind == "other_digest":
        return signed(ann, replace(ask, plan_digest="sha256:" + "0" * 64), nonce, now_s)
    return signed(ann._replace(key=STRANGER.key), ask, nonce, now_s)
