"""The contract of a verb: one thing that may be done to a target. A verb is one file in `actions/verbs/`.

It declares and never acts: an executor, which is another plug-in, performs it. Parameters are absolute values, never
"20 % more", so that doing it twice is doing it once.
"""

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


class Verb(Protocol):
    """A plug-in in `actions/verbs/`; its module says `PLUGIN = TheClass`, which is called without arguments.

    name: `system.verb`. parameters: its model. permissions: what an executor needs to hold, for people to read.
    owner: who answers for it.
    """

    name: str
    parameters: type[Parameters]
    risk: Risk
    is_reversible: bool
    effect_class: EffectClass
    permissions: tuple[str, ...]
    owner: str

    def undo(self, parameters: Parameters) -> Undo | None:
        """The exact undo of doing it with these parameters; None where there is none."""
        ...
