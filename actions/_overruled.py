"""How often people overrule what was decided: rejected it, said it was wrong, or changed the target back themselves.

One in five of the last twenty, ten at least, is no longer chance in a system that acts alone on what is right 95 times
of a hundred; then it stops everywhere and asks (the share is that of `_autonomy.py`, the notes name no number for all
verbs together). What was counted when it stopped does not count again. Pure.
"""

from dataclasses import dataclass, field, replace

from actions._autonomy import OVERRIDES
from actions._machine_types import Action
from schemas import Feedback

LAST = 20
LEAST = 10
_JUDGED = ("succeeded", "rolled_back", "escalated", "rejected")


@dataclass(frozen=True, slots=True)
class Overruled:
    """decisions: the last ones that people could judge, oldest first: id of the action, whether it was overruled."""

    decisions: dict[str, bool] = field(default_factory=dict)

    def learn(self, action: Action) -> "Overruled":
        """An action that has ended; what never began and was not rejected says nothing."""
        name = action.origin.action_id
        if not name or action.state not in _JUDGED or action.origin.reverts or action.is_killed:
            return self
        is_foreign = any(one.left == "foreign" for one in action.residue)
        known = {id: said for id, said in self.decisions.items() if id != name}
        said = self.decisions.get(name, False) or action.state == "rejected" or is_foreign
        return replace(self, decisions=dict([*known.items(), (name, said)][-LAST:]))

    def heard(self, said: Feedback) -> "Overruled":
        if said.action_id not in self.decisions or said.verdict not in ("wrong", "no_fault"):
            return self
        return replace(self, decisions={**self.decisions, said.action_id: True})

    @property
    def is_too_often(self) -> bool:
        told = self.decisions.values()
        return len(told) >= LEAST and sum(told) / len(told) > OVERRIDES
