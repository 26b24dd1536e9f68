"""OTLP spans, protobuf or JSON, as the OpenTelemetry Collector's Kafka exporter or the gateway writes them."""

from schemas.core import Message
from streams._decoded import Decoded
from streams._entities import tenant_of
from streams._errors import SourceError
from streams._otlp_rows import decode_spans
from streams._otlp_wire import located


class OtlpSpans:
    kind = "otlp_spans"
    topics = ("otlp_spans",)

    def decode(self, message: Message) -> Decoded:
        """Span rows in the order of the message; raises SourceError OTLP_TRUNCATED, OTLP_INVALID, OTLP_JSON_INVALID."""
        try:
            return Decoded(spans=decode_spans(message.value, tenant_of(message)))
        except SourceError as error:
            raise located(error, message) from error


PLUGIN = OtlpSpans
