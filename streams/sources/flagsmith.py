"""Changes of feature flags, as Flagsmith's environment webhooks post them.

Source: Flagsmith documentation "Webhooks", events `FLAG_UPDATED`, `FLAG_DELETED`; hex HMAC-SHA256 in
`X-Flagsmith-Signature`.
"""

import schemas as sc
from schemas.core import Message
from streams._decoded import Decoded
from streams._intake import Intake, Signature
from streams.sources._webhook import Fields, change, plain, service_in

_CODE = "FLAGSMITH_INVALID"


class Flagsmith:
    kind = "flagsmith"
    topics: tuple[str, ...] = ()
    intake = Intake(
        paths=("/v1/flagsmith",),
        keeps=("x-tidegate-service",),
        signatures=(Signature("x-flagsmith-signature"),),
    )

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError FLAGSMITH_INVALID naming the field. Events of another type are empty."""
        body = Fields.of(message, _CODE)
        if body.text("event_type") not in ("FLAG_UPDATED", "FLAG_DELETED"):
            return Decoded()
        data = body.part("data")
        return Decoded(records=(_change(message, body.text("event_type"), data),))


PLUGIN = Flagsmith


def _change(message: Message, event: str, data: Fields) -> sc.Change:
    before = data.maybe("previous_state")
    state = data.part("new_state") if event == "FLAG_UPDATED" else before
    feature, environment = state.part("feature"), state.maybe("environment")
    name, at = feature.text("name"), data.time("timestamp")
    after = _state(state) if event == "FLAG_UPDATED" else "deleted"
    return change(
        message, "flagsmith", (environment.any("id", "name"), feature.any("id"), name, at),
        service_in(message, {}, feature.maybe("project").any("name")), "flag", at, f"flag {name} is {after}",
        version_from=_state(before) if "enabled" in before else "", version_to=after, reference=name,
        author=data.any("changed_by"), environment=environment.any("name"),
    )  # fmt: skip


def _state(state: Fields) -> str:
    value = plain(state.raw("feature_state_value"))
    return ("on" if state.raw("enabled") else "off") + (f" ({value})" if value else "")
