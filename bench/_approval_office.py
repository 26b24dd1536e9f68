"""An action that waits for two people in a real ledger, the desk over it and its HTTP interface, called in process.

For the tests of approvals and for `bench.audit`, which forges its way in through the same door. The clock is a number.
"""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actions import (
    Ask,
    Docket,
    EnrolledKey,
    KeyRing,
    Sealer,
    action_digest,
    challenge,
    opening,
    seal,
    shown_of,
)
from actions._drive import With, advance, open_action
from actions._ledger import Committed, Ledger, Refusal, Transaction, write
from actions._ledger_model import ModelLedger
from actions._ledger_sqlite import SqliteLedger
from actions._machine_types import Approved, Gated, Rejected
from actions._ports import DryRun
from actions._saga import Plan, Step
from bench._forgery import KEYS, NOW_S, PEOPLE, RING
from schemas import Approval, ProposedChange, canonical, sha256
from schemas.core import NS
from tidegate._approvals_http import Identity, approvals_app
from tidegate._approve_desk import ApprovalDesk, Bridge

AUD = "shop-prod"
ADA, GRACE, EDSGER, BARBARA, PROPOSER = PEOPLE
UID = "uid-1"
BRIDGE_KEY = Ed25519PrivateKey.from_private_bytes(bytes([66]) * 32)
POLICY = sha256(b"policies")


def change(value: int) -> ProposedChange:
    body = {
        "verb": "kubernetes.scale", "target": "default/deployment/checkout", "parameters": {"replicas": value},
        "is_reversible": True, "undo_verb": "kubernetes.scale", "undo_parameters": {"replicas": 3}, "runbook": "scale",
    }  # fmt: skip
    return ProposedChange.model_validate(body | {"digest": sha256(canonical(body))})


def dry_run_of(of: ProposedChange, version: str = "17") -> DryRun:
    diff = {"target": of.target, "verb": of.verb, "diff": {"replicas": [3, of.parameters["replicas"]]}}
    return DryRun(json.dumps(diff, indent=1), sha256(canonical({**diff, "uid": UID})), version)


class Office:
    """`place` None: the ledger is in memory. bridges: console, slack and itsm speak for Ada and Grace, at grade C."""

    def __init__(self, place: Path | None = None, value: int = 5, **edits: Any) -> None:
        self.ledger: Ledger = SqliteLedger(place, Sealer("worker-1")) if place else ModelLedger(Sealer("worker-1"))
        self.now_s, self.ring, self.told, self.proposed = NOW_S, RING, list[tuple[str, str]](), list[Any]()
        self.plan = Plan((Step(change(value), "conditional"),))
        public = BRIDGE_KEY.public_key().public_bytes_raw()
        self.ring = self.ring.enrol(EnrolledKey("bridge", "bridge", public, "C", 0, speaks_for=frozenset((ADA, GRACE))))
        self.id = self.wait(self.plan, **edits)
        self.open_again()

    def ask(self, plan: Plan, id: str, **edits: Any) -> Ask:
        dry_run = dry_run_of(plan.steps[0].change)
        made = Ask(
            AUD, id, action_digest(plan), plan.digest, dry_run.digest, POLICY, UID, dry_run.target_version,
            frozenset({PROPOSER, "agent#1"}), frozenset({"senior", "service-owner"}), 2,
        )  # fmt: skip
        return replace(made, **edits)

    def wait(self, plan: Plan, **edits: Any) -> str:
        """A new action of the plan, proposed and gated: it waits for people."""
        opened = open_action(plan, 0, NOW_S * NS)
        write(self.ledger, opened.transaction)
        key = opened.action.key
        shown = shown_of(plan, dry_run_of(plan.steps[0].change), "scale checkout")
        docket = Docket(self.ask(plan, key, **edits), shown)
        gated = Gated(NOW_S * NS, "require_approval", "CRITICAL_SERVICE", "act", NOW_S * NS)
        advance(self.ledger, key, gated, With(keeps=(opening(docket),)))
        return key

    def open_again(self, **identity: Any) -> None:
        """What a restart leaves: the ledger, and a new desk over it."""
        bridge = Bridge("bridge", BRIDGE_KEY)
        bridges = {
            "console": bridge, "slack": bridge._replace(people={"U1": ADA, "U2": GRACE, "U3": EDSGER}), "itsm": bridge,
        }  # fmt: skip
        self.desk = ApprovalDesk(
            self.ledger, self._commit, self._tell, self.current, lambda: self.now_s, bridges, _Override(self)
        )
        self.app = approvals_app(self.desk, self.current, Identity(lambda: self.now_s, **identity))

    def current(self) -> KeyRing:
        return self.ring

    async def _commit(self, transaction: Transaction) -> Committed | Refusal:
        return write(self.ledger, transaction)

    async def _tell(self, key: str, decided: str) -> None:
        self.told.append((key, decided))
        at_ns = self.now_s * NS
        advance(self.ledger, key, Approved(at_ns, self.plan.digest) if decided == "approved" else Rejected(at_ns))

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """One request, in process: status and JSON."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return asyncio.run(_asgi(self.app, method, path, data, {"host": "localhost", **headers}))

    def state(self) -> str:
        row = self.ledger.action(self.id)
        return row.state if row else ""

    def sign(self, person: str, decision: str = "approve", key: Any = None, **edits: Any) -> bytes:
        """A right envelope over a challenge from the desk, but for the edits."""
        body = {"person": person, "role": "senior", "kid": person, "decision": decision}
        status, answer = self.call("POST", f"/v1/approvals/{self.id}/challenges", body)
        assert status == 200, answer
        return seal(Approval.model_validate(answer["approval"] | edits), key or KEYS[person])

    def vote(self, envelope: bytes) -> str:
        status, answer = self.call("POST", f"/v1/approvals/{self.id}/votes", envelope)
        return str(answer["reason"] if "reason" in answer else answer["error"]["code"]) if status else ""

    def people(self) -> list[str]:
        """Who counts now."""
        return list(self.desk.standing(self.desk.docket(self.id)).people)


class _Override:
    """As the worker does it: another change is another action, and who changed it has proposed it."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def check(self, id: str, parameters: Mapping[str, Any], person: str) -> Plan:
        return Plan((Step(change(int(parameters["replicas"])), "conditional"),))

    async def propose(self, id: str, parameters: Mapping[str, Any], person: str) -> str:
        office = self._office
        advance(office.ledger, id, Rejected(office.now_s * NS))
        return office.wait(self.check(id, parameters, person), barred=office.desk.docket(id).ask.barred | {person})

    async def resume(self) -> None:
        """Nothing dies here in between."""


async def _asgi(app: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"", "scheme": "http", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80), "root_path": "",
        "headers": [(name.lower().replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    text = b"".join(one.get("body", b"") for one in sent)
    return int(sent[0]["status"]), json.loads(text) if text.startswith(b"{") else {"text": text.decode()}


def unused(rng: random.Random) -> str:
    return rng.randbytes(16).hex()


__all__ = ["ADA", "BARBARA", "EDSGER", "GRACE", "PROPOSER", "Office", "challenge", "change", "dry_run_of", "unused"]
