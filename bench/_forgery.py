"""Approvals that must not count, in eight classes, each a little different every time.

`accepted(way, rng)` makes one attempt and says whether it counted, either when it came or at execution. Each class has
its control: the same approval without the fault counts (`control(rng)`), so a gate that refuses everything fails too.
"""

import json
import random
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actions import Ask, EnrolledKey, KeyRing, Panel, cast_approval, challenge, issue_nonce, seal, standing
from schemas import Approval, canonical

NOW_S = 1_767_268_800
PEOPLE = ("idp#ada", "idp#grace", "idp#edsger", "idp#barbara", "idp#proposer")
KEYS = {person: Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n, person in enumerate(PEOPLE, 1)}
SECOND = {person: Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n, person in enumerate(PEOPLE, 101)}


def ring() -> KeyRing:
    """Everybody has two keys and the role `senior`; ada owns the service."""
    made = KeyRing()
    for person in PEOPLE:
        for kid, keys in (("", KEYS), ("-2", SECOND)):
            public = keys[person].public_key().public_bytes_raw()
            made = made.enrol(EnrolledKey(f"{person}{kid}", person, public, "A", NOW_S - 86_400))
        made = made.with_roles(person, frozenset({"senior"} | ({"service-owner"} if person == PEOPLE[0] else set())))
    return made


RING = ring()


def digest(rng: random.Random) -> str:
    return "sha256:" + rng.randbytes(32).hex()


def ask(rng: random.Random) -> Ask:
    """A change that needs two seniors; proposed by somebody who is one."""
    return Ask(
        "shop-prod", f"action-{rng.randrange(10**9)}", digest(rng), digest(rng), digest(rng), digest(rng), "uid-1",
        str(rng.randrange(1000)), frozenset({PEOPLE[4], "agent#1"}), frozenset({"senior", "service-owner"}), 2,
    )  # fmt: skip


@dataclass
class Scene:
    """One action that waits for two approvals, and what has come so far."""

    rng: random.Random

    def __post_init__(self) -> None:
        self.ask, self.ring, self.panel, self.now_s = ask(self.rng), RING, Panel(), NOW_S
        self.person = self.rng.choice(PEOPLE[:4])

    def sign(self, person: str = "", key: Ed25519PrivateKey | None = None, **edits: object) -> bytes:
        """A right envelope, but for the edits; its nonce is issued."""
        who = person or self.person
        nonce = self.rng.randbytes(16).hex()
        self.panel = issue_nonce(self.panel, nonce)
        a = challenge(self.ask, who, "senior", who, nonce, now_s=self.now_s)
        return seal(Approval.model_validate(a.model_dump() | edits), key or KEYS[who])

    def cast(self, envelope: bytes) -> str:
        """The reason of the verdict."""
        now = {"now_s": self.now_s, "audited_s": NOW_S}
        self.panel, verdict = cast_approval(self.panel, envelope, self.ask, self.ring, **now)
        return verdict.reason

    def count(self) -> int:
        """How many people count at execution."""
        return len(standing(self.panel, self.ask, self.ring, now_s=self.now_s, audited_s=NOW_S).people)


def control(rng: random.Random) -> bool:
    """Two right approvals of different people are a quorum."""
    scene = Scene(rng)
    first, second = rng.sample(PEOPLE[:4], 2)
    scene.cast(scene.sign(first))
    scene.cast(scene.sign(second))
    found = standing(scene.panel, scene.ask, scene.ring, now_s=NOW_S, audited_s=NOW_S)
    return found.state == "approved" and set(found.people) == {first, second}


def accepted(way: str, rng: random.Random) -> bool:
    """One attempt. True would be a hole."""
    return WAYS[way](Scene(rng))


def _forged(s: Scene) -> bool:
    envelope = s.sign()
    kind = s.rng.randrange(5)
    if kind == 0:
        envelope = s.sign(key=Ed25519PrivateKey.from_private_bytes(s.rng.randbytes(32)))
    elif kind == 1:
        envelope = s.sign(kid=s.rng.choice([p for p in PEOPLE[:4] if p != s.person]))
    elif kind == 2:
        data = bytearray(envelope)
        data[s.rng.randrange(len(data))] ^= 1 << s.rng.randrange(8)
        envelope = bytes(data)
    elif kind == 3:
        envelope = _with_signature(envelope, s.rng.randbytes(64))
    else:
        outer = json.loads(envelope)
        body = json.loads(b64decode(outer["payload"])) | {"approver": s.rng.choice(PEOPLE[1:4]) + "x"}
        envelope = canonical(outer | {"payload": b64encode(canonical(body)).decode()})
    s.cast(envelope)
    return s.count() > 0


def _with_signature(envelope: bytes, signature: bytes) -> bytes:
    outer = json.loads(envelope)
    outer["signatures"][0]["sig"] = b64encode(signature).decode()
    return canonical(outer)


def _replayed(s: Scene) -> bool:
    envelope = s.sign()
    s.cast(envelope)
    kind = s.rng.randrange(3)
    if kind == 0:  # on the same action again
        s.cast(envelope)
        return s.count() > 1
    other = Scene(s.rng)
    if kind == 1:  # on the same change, proposed again under the same id, with a new panel
        other.ask = s.ask
    elif kind == 2:  # on another action with the same change
        other.ask = replace(s.ask, action_id=other.ask.action_id)
    other.cast(envelope)
    return other.count() > 0


def _expired(s: Scene) -> bool:
    envelope = s.sign()
    late = s.rng.randrange(900, 10**7)
    if s.rng.random() < 0.5:  # it came in time and the action is late
        s.cast(envelope)
        s.now_s += late
    else:
        s.now_s += late
        s.cast(envelope)
    if s.rng.random() < 0.3:  # the clock is turned back; the audit log remembers
        now, s.now_s = s.now_s, NOW_S
        return bool(standing(s.panel, s.ask, s.ring, now_s=s.now_s, audited_s=now).people)
    return s.count() > 0


def _duplicate(s: Scene) -> bool:
    """The same person with another key, nonce or role."""
    s.cast(s.sign())
    if s.rng.random() < 0.5:
        s.cast(s.sign(key=SECOND[s.person], kid=f"{s.person}-2"))
    else:
        s.cast(s.sign(role="service-owner" if s.person == PEOPLE[0] else "senior"))
    return s.count() > 1


def _self(s: Scene) -> bool:
    s.cast(s.sign(PEOPLE[4]))
    return s.count() > 0


def _other_digest(s: Scene) -> bool:
    name = s.rng.choice(["action_digest", "plan_digest", "dryrun_digest", "policy_digest", "target_version"])
    envelope = s.sign()
    if s.rng.random() < 0.5:  # the change is exchanged after it was approved
        s.cast(envelope)
        s.ask = replace(s.ask, **{name: digest(s.rng)})
    else:
        s.cast(s.sign(**{name: digest(s.rng)}))
    return s.count() > 0


def _revoked(s: Scene) -> bool:
    envelope = s.sign()
    is_early = s.rng.random() < 0.5
    if is_early:
        s.cast(envelope)
    s.ring = s.ring.revoke(s.person, NOW_S + s.rng.randrange(-10, 10))
    if not is_early:
        s.cast(envelope)
    return s.count() > 0


def _role_removed(s: Scene) -> bool:
    envelope = s.sign()
    is_early = s.rng.random() < 0.5
    if is_early:
        s.cast(envelope)
    s.ring = s.ring.with_roles(s.person, s.rng.choice([frozenset(), frozenset({"viewer"})]))
    if not is_early:
        s.cast(envelope)
    return s.count() > 0


WAYS: dict[str, Callable[[Scene], bool]] = {
    "forged": _forged,
    "replayed": _replayed,
    "expired": _expired,
    "duplicate person": _duplicate,
    "self": _self,
    "other digest": _other_digest,
    "revoked": _revoked,
    "role removed": _role_removed,
}
