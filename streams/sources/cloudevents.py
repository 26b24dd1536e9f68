"""Any CloudEvent, structured or binary: what no other source knows counts as a line of the service it comes from.

The type is the place of the line, so events of one type are counted together and one that was never seen is noticed.
The service is the last part of `source`, unless the request names it. Our own records and CDEvents go to their own
sources. Source: CloudEvents 1.0, JSON format and HTTP binding (attributes as `ce-*` headers,
percent-encoded).
"""

import json
from urllib.parse import unquote

from schemas.core import Message
from streams._decoded import Decoded
from streams._errors import SourceError
from streams._intake import Intake, json_of
from streams.sources._webhook import Fields, entity_of, lines, plain, service_in, short, time_ns

_CODE = "CLOUDEVENT_INVALID"
_MOST_BATCH = 1_000
_ATTRIBUTES = ("specversion", "id", "source", "type", "time", "subject")


class CloudEvents:
    kind = "cloudevents"
    topics: tuple[str, ...] = ()
    intake = Intake(
        paths=("/v1/cloudevents",),
        media_types=("application/cloudevents+json", "application/cloudevents-batch+json", "application/json"),
        keeps=(*(f"ce-{name}" for name in _ATTRIBUTES), "x-tidegate-service"),
    )

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError CLOUDEVENT_INVALID naming the attribute."""
        if said := message.header("http-ce-specversion"):
            found = {name: unquote(message.header(f"http-ce-{name}")) for name in _ATTRIBUTES} | {"specversion": said}
            events = [Fields({k: v for k, v in found.items() if v}, _CODE)]
            texts = [message.value[:2_000].decode("utf-8", "replace")]
        else:
            events, texts = _structured(json_of(message.value, _CODE))
        rows = [_row(message, event, text) for event, text in zip(events, texts, strict=True)]
        return Decoded(logs=lines(rows), is_occasional=True)


PLUGIN = CloudEvents


def _structured(body: object) -> tuple[list[Fields], list[str]]:
    many = body if isinstance(body, list) else [body]
    if not all(isinstance(one, dict) for one in many):
        raise SourceError("a CloudEvent or a list of them is due", code=_CODE)
    if len(many) > _MOST_BATCH:
        raise SourceError(f"{len(many)} events in one batch, {_MOST_BATCH} are taken", code=_CODE)
    found = [one for one in many if isinstance(one, dict)]
    texts = [json.dumps(one.get("data", one.get("data_base64", "")), sort_keys=True)[:2_000] for one in found]
    return [Fields(one, _CODE) for one in found], texts


def _row(message: Message, event: Fields, text: str) -> tuple[object, ...]:
    if event.text("specversion") != "1.0":
        raise event.wrong("specversion", "1.0 is read")
    event.text("id")
    kind, service = event.text("type"), service_in(message, {}, short(event.text("source")))
    at = message.received_ns
    if "time" in event:
        try:
            at = time_ns(event.text("time"))
        except (ValueError, OverflowError) as error:
            raise event.wrong("time", "a time of RFC 3339 is due") from error
        if not 0 < at < 1 << 63:
            raise event.wrong("time", "it cannot be told in nanoseconds since 1970")
    body = plain(f"{event.any('subject')} {text}")
    return at, entity_of(message, service), service, 9, f"cloudevents/{kind}", body, b"", b""
