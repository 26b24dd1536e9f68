"""OTLP spans, protobuf or JSON, as the OpenTelemetry Collector's Kafka exporter or the gateway writes them."""

from collections.abc import Mapping

from schemas.core import Message
from streams._decoded import Decoded
from streams._entities import tenant_of
from streams._errors import SourceError
from streams._intake import Reply
from streams._otlp_rows import decode_spans
from streams._otlp_wire import located, otlp_intake, otlp_reply
from streams._schema_urls import schema_urls


class OtlpSpans:
    kind = "otlp_spans"
    topics = ("otlp_spans",)
    intake = otlp_intake("traces")

    def decode(self, message: Message) -> Decoded:
        """Span rows in the order of the message; raises SourceError OTLP_TRUNCATED, OTLP_INVALID, OTLP_JSON_INVALID."""
        try:
            return Decoded(spans=decode_spans(message.value, tenant_of(message)))
        except SourceError as error:
            raise located(error, message) from error

    def reply(self, headers: Mapping[str, str], decoded: Decoded | None) -> Reply:
        return otlp_reply(headers)

    def schema_urls(self, body: bytes) -> Mapping[str, int]:
        return schema_urls(body)


PLUGIN = OtlpSpans
