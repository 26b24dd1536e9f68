"""The desk where people decide: what waits, what they are to sign, and what became of what they handed in.

One process has it, the one that writes the ledger. Every road (command, console, chat, ITSM) ends here and is judged by
the one function of `actions`; a bridge is only a key of grade C that signs what a person clicked elsewhere. Nothing
is remembered but in the ledger, so a restart loses nothing: `resume` passes on a quorum whose news was lost.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actions import (
    ApprovalsError,
    Docket,
    KeyRing,
    PeopleHead,
    Standing,
    Verdict,
    at_execution,
    hear,
    hearing,
    invite,
    inviting,
    is_override_by,
    load_docket,
    override_kept,
    seal,
)
from actions._acknowledge import Page, acknowledged, waiting
from actions._docket import PREFIX
from actions._ledger import Committed, Keep, Ledger, Refusal, Transaction
from schemas import Approval
from schemas.core import NS
from tidegate._errors import ApproveError
from tidegate._people_file import HEAD, known_head

Decided = Literal["approved", "rejected"]
Commit = Callable[[Transaction], Awaitable[Committed | Refusal]]
Tell = Callable[[str, Decided], Awaitable[None]]


class Override(Protocol):
    """Puts an action with other parameters, as a person wants them, in the place of the one that waits."""

    def check(self, id: str, parameters: Mapping[str, Any], person: str) -> object:
        """Raises ActionsError if that could not be."""
        ...

    async def propose(self, id: str, parameters: Mapping[str, Any], person: str) -> str:
        """Rejects the one that waits; the key of the other. Raises ActionsError, ApproveError."""
        ...

    async def resume(self) -> None:
        """After a restart: what was wanted and not proposed."""
        ...


class Heard(NamedTuple):
    """What became of one approval, and where the action stands now."""

    verdict: Verdict
    standing: Standing


class Bridge(NamedTuple):
    """A key of grade C: what it signs, a person did elsewhere. people: name there -> `issuer#subject` here; None where
    both are the same. In either case it speaks only for whom its enrolment names.
    """

    kid: str
    key: Ed25519PrivateKey
    people: Mapping[str, str] | None = None


class ApprovalDesk:
    """commit: one transaction that is no move, durable when it returns. tell: the worker moves the action on.

    ring: read anew for each question, so a revocation counts at once. now_s: UTC seconds. override: where
    people may change parameters. head: of the list that `ring` has read; kept in the
    ledger with what was decided by it, so that a list whose end was cut off is found after a restart, too.
    """

    def __init__(
        self,
        ledger: Ledger,
        commit: Commit,
        tell: Tell,
        ring: Callable[[], KeyRing],
        now_s: Callable[[], int],
        bridges: Mapping[str, Bridge] | None = None,
        override: Override | None = None,
        head: Callable[[], PeopleHead] | None = None,
    ) -> None:
        self._ledger, self._commit, self._tell, self._ring, self._now_s = ledger, commit, tell, ring, now_s
        self._bridges, self._override, self._head = dict(bridges or {}), override, head
        self._one_at_a_time = asyncio.Lock()

    def waiting(self) -> Sequence[Docket]:
        """What waits for people, by id."""
        dockets = [load_docket(body) for _, body in self._ledger.kept(PREFIX)]
        return [docket for docket in dockets if self._state(docket.ask.action_id) == "awaiting_approval"]

    def docket(self, id: str) -> Docket:
        """Also of an action that is decided. Raises ApproveError."""
        for name, body in self._ledger.kept(PREFIX + id):
            if name == PREFIX + id:
                return load_docket(body)
        raise ApproveError("nobody was asked about it", where=id[:80], code="NOT_ASKED", todo="See what waits")

    def state(self, id: str) -> str:
        return self._state(id)

    def standing(self, docket: Docket) -> Standing:
        return at_execution(docket, docket.ask, self._ring(), **self._times())

    async def challenge(self, id: str, person: str, role: str, kid: str, decision: str) -> Approval:
        """What the person is to sign, with a nonce that is durable before it is shown. Raises ApproveError."""
        async with self._one_at_a_time:
            docket = self._open(id)
            key = self._ring().keys.get(kid)
            if key is None or key.revoked_s is not None or person not in key.people():
                raise ApproveError(f"'{kid[:80]}' is no key of '{person[:80]}'", where=id[:80], code="KEY_UNKNOWN")
            try:
                after, approval = invite(
                    docket, person, role, kid, secrets.token_hex(16), self._times()["now_s"], decision
                )
            except (ApprovalsError, ValueError) as error:
                raise ApproveError(str(error)[:300], where=id[:80], code="NOT_INVITED") from error
            await self._keep(inviting(after, approval, self._at_ns()), id)
            return approval

    async def vote(self, id: str, envelope: bytes) -> Heard:
        """What a person signed. Raises ApproveError only where nothing waits or nothing can be kept."""
        async with self._one_at_a_time:
            before = self._open(id)
            after, verdict, found = hear(before, envelope, self._ring(), **self._times())
            row = self._ledger.action(id)
            transaction = hearing(before, after, verdict, row.version if row else 0, self._at_ns())
            if transaction is not None:
                await self._keep(transaction, id)
            if verdict.is_accepted and found.state != "waiting":
                await self._tell(id, found.state)
            return Heard(verdict, found)

    async def click(self, bridge: str, id: str, name: str, role: str, decision: str) -> Heard:
        """A click of somebody whom `bridge` has recognised; name: as it is called there, or `issuer#subject`."""
        by = self._bridges.get(bridge)
        if by is None:
            raise ApproveError(f"there is no bridge '{bridge[:40]}'", code="NO_BRIDGE", todo="Add it to the settings")
        person = name if by.people is None else by.people.get(name, "")
        key = self._ring().keys.get(by.kid)
        if key is None or person not in key.people():
            raise ApproveError(f"'{name[:80]}' is nobody that {bridge} speaks for", where=id[:80], code="NOBODY")
        approval = await self.challenge(id, person, role or self._role(person, id), by.kid, decision)
        return await self.vote(id, seal(approval, by.key))

    async def override(self, id: str, parameters: Mapping[str, Any], person: str) -> str:
        """The same change with other parameters, proposed by the person: nothing signed before fits its digest.

        The caller has recognised the person, who must have a role that may decide on it. Raises ApproveError,
        ActionsError; then nothing has changed.
        """
        async with self._one_at_a_time:
            docket, override = self._open(id), self._overriding(id)
            if not self._ring().roles.get(person, frozenset()) & docket.ask.roles:
                raise ApproveError(f"{person[:80]} may not decide on it", where=id[:80], code="NOBODY")
            return await override.propose(id, parameters, person)

    async def override_signed(
        self, id: str, parameters: Mapping[str, Any], envelope: bytes, signature: bytes
    ) -> tuple[Heard, str]:
        """The same by a person's own key: a signed rejection, and a signature over it and the parameters.

        What became of the rejection, and the new id, empty where it does not count. Raises as `override`.
        """
        async with self._one_at_a_time:
            before, override, ring = self._open(id), self._overriding(id), self._ring()
            after, verdict, found = hear(before, envelope, ring, **self._times())
            if verdict.reason == "VETOED":
                if not is_override_by(envelope, parameters, signature, ring.keys[verdict.kid]):
                    raise ApproveError("the parameters are not signed", where=id[:80], code="BAD_SIGNATURE")
                override.check(id, parameters, verdict.person)
            elif verdict.is_accepted:
                raise ApproveError("it is no rejection", where=id[:80], code="BODY_INVALID", todo="Sign `reject`")
            row = self._ledger.action(id)
            transaction = hearing(before, after, verdict, row.version if row else 0, self._at_ns())
            if transaction is not None:
                kept = (override_kept(id, parameters, verdict.person),) if verdict.is_accepted else ()
                await self._keep(transaction._replace(keeps=(*transaction.keeps, *kept)), id)
            if not verdict.is_accepted:
                return Heard(verdict, found), ""
            return Heard(verdict, found), await override.propose(id, parameters, verdict.person)

    async def resume(self) -> None:
        """After a restart: what was decided and not passed on."""
        if self._override is not None:
            await self._override.resume()
        for docket in self.waiting():
            found = self.standing(docket)
            if found.state != "waiting":
                await self._tell(docket.ask.action_id, found.state)

    def _overriding(self, id: str) -> Override:
        if self._override is None:
            raise ApproveError("parameters cannot be changed here", where=id[:80], code="NO_OVERRIDE")
        return self._override

    def _open(self, id: str) -> Docket:
        docket = self.docket(id)
        state = self._state(id)
        if state != "awaiting_approval":
            raise ApproveError(f"it waits for nobody: it is {state}", where=id[:80], code="NOT_WAITING")
        return docket

    def _state(self, id: str) -> str:
        row = self._ledger.action(id)
        return row.state if row else "unknown to the ledger"

    def _role(self, person: str, id: str) -> str:
        """A role of the person that may decide on it; the one that is still missing first."""
        docket = self.docket(id)
        has = self._ring().roles.get(person, frozenset()) & docket.ask.roles
        missing = [role for role in self.standing(docket).missing if role in has]
        return (missing or sorted(has) or [""])[0]

    def pages(self) -> list[Page]:
        """What people were told that nobody has acknowledged yet."""
        return waiting(self._ledger)

    async def acknowledge(self, id: str, person: str) -> None:
        """Somebody has it. Raises NoPage, ApproveError."""
        result = await self._commit(acknowledged(self._ledger, id, person, self._at_ns()))
        if isinstance(result, Refusal):
            raise ApproveError(f"the ledger refuses it: {result.code}", where=id[:80], code=result.code)

    async def _keep(self, transaction: Transaction, id: str) -> None:
        head = self._head() if self._head else None
        if head is not None and head != known_head(self._ledger):
            fact = Keep(HEAD, f"{head.number} {head.digest}".encode())
            transaction = transaction._replace(keeps=(*transaction.keeps, fact))
        result = await self._commit(transaction)
        if isinstance(result, Refusal):
            raise ApproveError(f"the ledger refuses it: {result.code}", where=id[:80], code=result.code)

    def _times(self) -> dict[str, int]:
        return {"now_s": self._now_s(), "audited_s": self._ledger.last_ns() // NS}

    def _at_ns(self) -> int:
        return max(self._now_s() * NS, self._ledger.last_ns())
