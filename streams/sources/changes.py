"""Changes of anything that has no format of its own: a script, a pipeline, a configuration service, one JSON object.

`{"service", "kind", "title", "at", "version_from", "version_to", "reference", "author", "environment", "intent",
"id"}`, or a list of these under `changes`. Needed are `service` and `title`. Without `at` it is the time at which it
was taken; without `id` what was sent names it, so the same thing sent twice is one change. Kinds are those of
`schemas.Change`; `intent` is text as `error_ratio down within 30m`.
"""

from typing import get_args

import schemas as sc
from schemas.core import Message
from streams._decoded import Decoded
from streams._intake import Intake
from streams.sources._webhook import Fields, change, intent_in, short

_CODE = "CHANGE_INVALID"
_KINDS: dict[str, sc.ChangeKind] = {kind: kind for kind in get_args(sc.ChangeKind)}


class Changes:
    kind = "changes"
    topics: tuple[str, ...] = ()
    intake = Intake(paths=("/v1/changes",))

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError CHANGE_INVALID naming the field."""
        body = Fields.of(message, _CODE)
        found = body.parts("changes") if "changes" in body else [body]
        return Decoded(records=tuple(_change(message, one) for one in found))


PLUGIN = Changes


def _change(message: Message, one: Fields) -> sc.Change:
    service, title, said = short(one.text("service")), one.text("title"), one.any("kind") or "other"
    if said not in _KINDS:
        raise one.wrong("kind", f"'{said[:40]}' is none of {', '.join(_KINDS)}")
    at, version = one.time("at", default=message.received_ns), one.any("version_to")
    key = (one.any("id"),) if "id" in one else (service, said, title, version, one.any("at"))
    return change(
        message, "changes", key, service, _KINDS[said], at, title, version_from=one.any("version_from"),
        version_to=version, reference=one.any("reference"), author=one.any("author"),
        environment=one.any("environment"), intent=intent_in(one.raw("intent"), at, is_trailer=False),
    )  # fmt: skip
