"""Strategies: which rule decides where several of equal standing match and want different things.

Priority always orders: only rules of the highest priority that matched stand equal, so a freeze is never outvoted.
Among those, `priority` takes the most restrictive effect; `majority` the effect that most of them want, a tie the
more restrictive; `cost` the effect that loses least by the stated function, a tie the more restrictive:

    loss(permit)           = (1 - confidence_low) * harm
    loss(require_approval) = attention + delay * confidence_low * gain
    loss(advise or deny)   = confidence_low * gain
    harm = costs.harm[risk] * blast_radius * (1 if is_reversible else costs.irreversible)
    gain = costs.gain[tier] * (costs.business if has_business_impact else 1)

Another rule that denies can only make the answer more restrictive, under each of them. Source: XACML 3.0, appendix C,
for combining; expected loss as in any textbook of decisions (Berger 1985).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from actions._contract import Risk
from actions._names import Tier
from schemas import Effect, Json

Strategy = Literal["priority", "majority", "cost"]
RESTRICTION: dict[Effect, int] = {"permit": 0, "require_approval": 1, "advise": 2, "deny": 3}
Points = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Costs(BaseModel):
    """The stated cost function, in points of one's own choosing; only their ratios matter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    harm: dict[Risk, Points] = {"none": 0.0, "low": 1.0, "medium": 4.0, "high": 20.0}
    """Of a wrong action on one service, by the risk of the verb."""
    irreversible: float = Field(default=5.0, ge=1)
    """How many times worse it is if there is no undo."""
    gain: dict[Tier, Points] = {"low": 2.0, "standard": 4.0, "critical": 8.0}
    """Of the right action, by the tier of the service."""
    business: float = Field(default=3.0, ge=1)
    """How many times more it is worth while business figures suffer."""
    attention: float = Field(default=1.0, ge=0)
    """Of asking people."""
    delay: float = Field(default=0.25, ge=0, le=1)
    """Share of the gain that is gone until they answered."""

    def losses(self, snapshot: Mapping[str, Json]) -> dict[Effect, float]:
        """Expected loss of each effect; a risk or tier without points raises KeyError, which denies."""
        s: Mapping[str, Any] = snapshot
        right = float(s["confidence_low"])
        harm = self.harm[s["risk"]] * s["blast_radius"] * (1.0 if s["is_reversible"] else self.irreversible)
        gain = self.gain[s["tier"]] * (self.business if s["has_business_impact"] else 1.0)
        idle = right * gain
        return {
            "permit": (1 - right) * harm,
            "require_approval": self.attention + self.delay * idle,
            "advise": idle,
            "deny": idle,
        }


NAMES_OF_COST = ("confidence_low", "risk", "blast_radius", "is_reversible", "tier", "has_business_impact")
"""What the cost function reads; a snapshot without one of them is denied."""


class Standing(Protocol):
    """What a strategy needs to know of a rule."""

    id: str
    effect: Effect
    priority: int


class Resolved(NamedTuple):
    """The effect that holds, and in words how it came about; no words where all of equal standing agreed."""

    effect: Effect
    how: str


def resolve(
    matched: Sequence[Standing], snapshot: Mapping[str, Json], strategy: Strategy, costs: Costs | None = None
) -> Resolved:
    """The effect of the rules that matched, at least one. Raises KeyError where the cost function has no points.

    >>> class R(NamedTuple): id: str; effect: Effect; priority: int
    >>> resolve([R("a", "deny", 1), R("b", "permit", 1), R("c", "permit", 1)], {}, "majority")
    Resolved(effect='permit', how='majority: permit 2, deny 1')
    """
    first = max(rule.priority for rule in matched)
    equals = [rule for rule in matched if rule.priority == first]
    effects = sorted({rule.effect for rule in equals}, key=lambda effect: RESTRICTION[effect])
    if len(effects) == 1:
        return Resolved(effects[0], "")
    if strategy == "majority":
        votes = Counter(rule.effect for rule in equals)
        order = sorted(effects, key=lambda effect: (-votes[effect], -RESTRICTION[effect]))
        return Resolved(order[0], "majority: " + ", ".join(f"{effect} {votes[effect]}" for effect in order))
    if strategy == "cost":
        loss = (costs or Costs()).losses(snapshot)
        order = sorted(effects, key=lambda effect: (loss[effect], -RESTRICTION[effect]))
        return Resolved(order[0], "cost: " + ", ".join(f"{effect} {loss[effect]:.3g}" for effect in order))
    order = effects[::-1]
    return Resolved(order[0], f"priority: {order[0]} before {', '.join(order[1:])}, all at {first}")
