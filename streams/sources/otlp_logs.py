"""OTLP logs, protobuf or JSON, as the OpenTelemetry Collector's Kafka exporter or the gateway writes them."""

from collections.abc import Mapping

from schemas.core import Message
from streams._decoded import Decoded
from streams._entities import tenant_of
from streams._errors import SourceError
from streams._intake import Reply
from streams._otlp_rows import decode_logs
from streams._otlp_wire import located, otlp_intake, otlp_reply
from streams._schema_urls import schema_urls


class OtlpLogs:
    kind = "otlp_logs"
    topics = ("otlp_logs",)
    intake = otlp_intake("logs")

    def decode(self, message: Message) -> Decoded:
        """Log rows in the order of the message; raises SourceError OTLP_TRUNCATED, OTLP_INVALID, OTLP_JSON_INVALID."""
        try:
            return Decoded(logs=decode_logs(message.value, tenant_of(message)))
        except SourceError as error:
            raise located(error, message) from error

    def reply(self, headers: Mapping[str, str], decoded: Decoded | None) -> Reply:
        return otlp_reply(headers)

    def schema_urls(self, body: bytes) -> Mapping[str, int]:
        return schema_urls(body)


PLUGIN = OtlpLogs
