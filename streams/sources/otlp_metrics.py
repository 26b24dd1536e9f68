"""OTLP metrics, protobuf or JSON, as the OpenTelemetry Collector's Kafka exporter or the gateway writes them.

Two decoders with the same answer: a plain one, and a numba one that is some seventy times faster once it is compiled.
Compiling takes seconds, so by itself the fast one starts only when a run has shown to be a long one.
"""

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

from schemas.core import Message
from streams._decoded import Decoded
from streams._entities import tenant_of
from streams._errors import SourceError
from streams._intake import Reply
from streams._otlp_metrics import LABELS_MAX_BYTES, Definitions, decode_metrics
from streams._otlp_wire import located, looks_like_json, otlp_intake, otlp_reply
from streams._schema_urls import schema_urls
from streams._settings import WARM_POINTS

if TYPE_CHECKING:
    from streams._otlp_fast import FastMetrics


class OtlpMetrics:
    """fast: True to use numba from the first message, False never; None once it pays and where it is installed.

    labels_max_bytes: a series whose entity, name and labels take more makes its message a SourceError.
    Not safe for use by two threads at once. Raises ModuleNotFoundError if `fast` is True and numba is not installed.
    """

    kind = "otlp_metrics"
    topics = ("otlp_metrics",)
    intake = otlp_intake("metrics")

    def __init__(self, fast: bool | None = None, labels_max_bytes: int = LABELS_MAX_BYTES) -> None:
        self._definitions, self._labels_max_bytes = Definitions(labels_max_bytes), labels_max_bytes
        has_numba = importlib.util.find_spec("numba") is not None
        if fast and not has_numba:
            raise ModuleNotFoundError(
                "OtlpMetrics(fast=True) needs numba. Install tidegate[fast], or leave `fast` away."
            )
        self._fast: FastMetrics | None = self._start_fast() if fast else None
        self._points_until_fast = WARM_POINTS if fast is None and has_numba else 0

    def decode(self, message: Message) -> Decoded:
        """Number points, histogram points and their definitions, in the order of the message.

        Raises SourceError: OTLP_TRUNCATED, OTLP_INVALID, OTLP_JSON_INVALID, OTLP_HISTOGRAM_INVALID, LABELS_TOO_LARGE.
        """
        tenant = tenant_of(message)
        try:
            if self._fast is not None and not looks_like_json(message.value):
                decoded = self._fast.decode(message.value, tenant)
                if decoded is not None:
                    return decoded
            decoded = self.plain(message.value, tenant)
        except SourceError as error:
            raise located(error, message) from error
        if self._fast is None and self._points_until_fast > 0:
            self._points_until_fast -= len(decoded.points.t)
            if self._points_until_fast <= 0:
                self._fast = self._start_fast()
        return decoded

    def use_kernels(self) -> None:
        """Use the fast decoder from now on. Raises ModuleNotFoundError without numba."""
        if self._fast is None:
            self._fast = self._start_fast()

    def plain(self, data: bytes, tenant: str) -> Decoded:
        """The plain decoder, whatever `fast` says."""
        return decode_metrics(data, tenant, self._definitions)

    def _start_fast(self) -> "FastMetrics":
        from streams._otlp_fast import FastMetrics  # here, because it needs numba

        self._definitions.forget()  # the fast one keeps them in a tenth of the space
        return FastMetrics(self.plain, self._labels_max_bytes)

    def reply(self, headers: Mapping[str, str], decoded: Decoded | None) -> Reply:
        return otlp_reply(headers)

    def schema_urls(self, body: bytes) -> Mapping[str, int]:
        return schema_urls(body)


PLUGIN = OtlpMetrics
