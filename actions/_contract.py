"""The contract of a verb: one thing that may be done to a target. A verb is one file in `actions/verbs/`.

It declares and never acts: an executor, which is another plug-in, performs it. It says which fields of the target it
sets to which absolute values, never "20 % more", so that doing it twice is doing it once, and which values it expects
there before. From these two the dry run, the conditional write and the check of the undo follow.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from schemas import Json

Risk = Literal["none", "low", "medium", "high"]
"""`none`: changes no system, only tells somebody."""

EffectClass = Literal["conditional", "keyed", "naturally_idempotent", "unsafe"]
"""How a repeat has no effect: conditional write, key kept by the target, absolute values; or it has one (`unsafe`)."""


class Parameters(BaseModel):
    """Base of every verb's parameters: frozen, and an unknown one is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Undo(NamedTuple):
    """What restores the business meaning: another declared verb with its own exact parameters."""

    verb: str
    parameters: dict[str, Json]


class Capacity(NamedTuple):
    """How many units of a target serve now (replicas, nodes, per cent of traffic), and how many there should be."""

    ready: int
    desired: int


class Verb(Protocol):
    """A plug-in in `actions/verbs/`; its module says `PLUGIN = TheClass`, which is called without arguments.

    name: `system.verb`. parameters: its model. permissions: what an executor needs to hold, for people to read.
    owner: who answers for it. version: raised when what it does changes, which costs it the autonomy it had earned.
    evidence_limit_s: a permit needs evidence not older. settle_s: how long the target needs before it can be judged.
    undo_valid_for_s: until when the undo is right. capacity_floor: share of the desired units (0..1) that must go on
    serving. target_kinds: kinds of entities it may be aimed at. selectors: parameters that choose what is changed; they
    may never be absent, null, empty or a wildcard. human_classes: why people always decide (billing, schema, ...).
    """

    name: str
    parameters: type[Parameters]
    risk: Risk
    is_reversible: bool
    effect_class: EffectClass
    permissions: tuple[str, ...]
    owner: str
    version: str
    evidence_limit_s: int
    settle_s: int
    undo_valid_for_s: int
    undo_on_no_effect: bool
    capacity_floor: float
    target_kinds: tuple[str, ...]
    selectors: tuple[str, ...]
    human_classes: tuple[str, ...]

    def undo(self, parameters: Parameters) -> Undo | None:
        """The exact undo of doing it with these parameters; None where there is none."""
        ...

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        """Fields of the target that must have these values before; nothing where the state before does not matter."""
        ...

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        """Fields of the target and their values afterwards: absolute, and never empty."""
        ...

    def taken(self, parameters: Parameters, state: Mapping[str, Json]) -> int:
        """Units of capacity that are away at worst while it is done and afterwards; 0 where it takes none."""
        ...

    def limit(self, parameters: Parameters, state: Mapping[str, Json]) -> str | None:
        """What speaks against it in the state that the target is in, as a sentence, or None."""
        ...


class Declared:
    """What a verb inherits where it says nothing else: careful times, no capacity taken, no limit of its own."""

    version = "1"
    evidence_limit_s = 180  # DESIGN section 3: old news never acts
    settle_s = 300
    undo_valid_for_s = 3600
    undo_on_no_effect = False
    capacity_floor = 0.0
    target_kinds: tuple[str, ...] = ("service",)
    selectors: tuple[str, ...] = ()
    human_classes: tuple[str, ...] = ()

    def undo(self, parameters: Parameters) -> Undo | None:
        return None

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        return {}

    def taken(self, parameters: Parameters, state: Mapping[str, Json]) -> int:
        return 0

    def limit(self, parameters: Parameters, state: Mapping[str, Json]) -> str | None:
        return None
