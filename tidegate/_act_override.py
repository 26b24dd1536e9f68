"""Other parameters for what waits for people: what waits is rejected, what is wanted is proposed, and nothing is lost.

The rejection and what is wanted instead are one transaction. A process that dies before the new action is open opens
it at its next start.
"""

import json
from collections.abc import Mapping
from typing import Any

import structlog

from actions import (
    OVERRIDE,
    ActionsError,
    Keep,
    PolicyEngine,
    Rejected,
    Transaction,
    Verbs,
    With,
    Worker,
    override_kept,
    override_of,
)
from actions._ledger import Committed
from actions._worker import Asked
from tidegate._errors import ApproveError


class Overrides:
    """Satisfies `Override` of the desk."""

    def __init__(self, worker: Worker, verbs: Verbs, policies: PolicyEngine) -> None:
        self._worker, self._verbs, self._policies = worker, verbs, policies
        self._log = structlog.get_logger()

    def check(self, id: str, parameters: Mapping[str, Any], person: str) -> Asked:
        """Whether it could be proposed. Raises ActionsError."""
        action = self._worker.read(id)
        return override_of(action, parameters, person, self._verbs, self._policies.digest)

    async def propose(self, id: str, parameters: Mapping[str, Any], person: str) -> str:
        """The key of the action that takes its place. Raises ActionsError; ApproveError where there is none."""
        asked, kept = self.check(id, parameters, person), override_kept(id, parameters, person)
        action = self._worker.read(id)
        if not action.is_ended:
            result = await self._worker.feed(id, Rejected(self._worker.now), With(keeps=(kept,)))
            if not isinstance(result, Committed):
                raise ApproveError("it moved meanwhile", where=id[:80], code="NOT_WAITING", todo="Look at it again")
        outcome = await self._worker.take(asked)
        gone = (Keep(OVERRIDE + id, None),)
        await self._worker.commit(Transaction(self._worker.now, keeps=gone))
        row = self._worker.ledger.latest(asked.plan.change_key)
        if outcome not in ("OPENED", "OWNED") or row is None:
            raise ApproveError(f"it is not proposed: {outcome}", where=id[:80], code="NOT_PROPOSED")
        return row.key

    async def resume(self) -> None:
        """What a crash has left between the rejection and the proposal."""
        for name, body in self._worker.ledger.kept(OVERRIDE):
            wanted = json.loads(body)
            try:
                await self.propose(name.removeprefix(OVERRIDE), wanted["parameters"], wanted["person"])
            except (ActionsError, ApproveError) as error:
                self._log.warning("other parameters not proposed", action_id=name, reason=error.code, what=str(error))
