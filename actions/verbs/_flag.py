"""What `flag.off` and `flag.on` have in common: one flag of one service in the repository that declares it."""

from pydantic import Field

from actions._contract import Declared, EffectClass, Parameters


class Flag(Parameters):
    service: str = Field(min_length=1)
    flag: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$")


class FlagVerb(Declared):
    parameters: type[Parameters] = Flag
    is_reversible = True
    effect_class: EffectClass = "conditional"
    permissions: tuple[str, ...] = ("git: push to the repository of the flags",)
    owner = "platform"
    settle_s = 120
    selectors = ("service", "flag")
