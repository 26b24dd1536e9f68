"""What `alert.silence` and `alert.unsilence` have in common: one alert of one service, and until when."""

from pydantic import Field

from actions._contract import Declared, EffectClass, Parameters, Risk


class Silence(Parameters):
    alertname: str = Field(min_length=1)
    service: str = Field(min_length=1)
    until_s: int = Field(gt=0)
    """When it ends, in Unix seconds."""


class SilenceVerb(Declared):
    parameters: type[Parameters] = Silence
    risk: Risk = "low"
    is_reversible = True
    effect_class: EffectClass = "naturally_idempotent"
    permissions: tuple[str, ...] = ("alertmanager: read and write silences",)
    owner = "platform"
    settle_s = 0
    selectors = ("alertname", "service")
