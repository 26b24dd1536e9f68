"""Changes of feature flags, as Unleash's webhook integration posts its events.

Source: Unleash 5 and 6, event types `feature-*`; the default body is the event. It is not signed: give the integration
an `Authorization` header.
"""

from schemas.core import Message
from streams._decoded import Decoded
from streams._intake import Intake
from streams.sources._webhook import Fields, change, service_in

_CODE = "UNLEASH_INVALID"
_IDLE = ("feature-created", "feature-tagged", "feature-untagged", "feature-favorited", "feature-unfavorited")


class Unleash:
    kind = "unleash"
    topics: tuple[str, ...] = ()
    intake = Intake(paths=("/v1/unleash",), keeps=("x-tidegate-service",))

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError UNLEASH_INVALID naming the field. What changes no flag that serves is empty."""
        body = Fields.of(message, _CODE)
        kind = body.text("type")
        if not kind.startswith("feature-") or kind in _IDLE:
            return Decoded()
        name, verb = body.text("featureName"), kind.removeprefix("feature-").replace("-", " ")
        state = "on" if kind.endswith("-enabled") else "off" if kind.endswith(("-disabled", "-archived")) else ""
        return Decoded(records=(change(
            message, "unleash", (body.text("id"),), service_in(message, {}, body.any("project")), "flag",
            body.time("createdAt"), f"flag {name}: {verb}", version_to=state, reference=name,
            author=body.any("createdBy"), environment=body.any("environment"),
        ),))  # fmt: skip


PLUGIN = Unleash
