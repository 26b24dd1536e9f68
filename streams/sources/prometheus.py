"""Prometheus remote write 1.0 and 2.0, as a Prometheus, an agent or a collector sends it: snappy blocks of protobuf.

Two decoders with the same answer, a plain one (`_remote_wire`) and one with numba (`_remote_fast`), which starts when a
run has shown to be a long one. A body is read before it is kept: so a sender hears at once of series that cannot be
used (400, the rest is kept), and how many samples lie in the log (204). What the log refuses later for its time or for
limits is counted there, not said here. Exemplars are counted as not written, because nothing reads them.
Source: Prometheus, "Remote Write 1.0" and "2.0" (headers, media types, answers).
"""

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

from schemas.core import Message
from streams._decoded import Decoded
from streams._entities import tenant_of
from streams._errors import SourceError
from streams._intake import HTTP, PROTOBUF_TYPE, Intake, Reply
from streams._otlp_wire import located
from streams._remote_wire import V1, V2, decode
from streams._settings import WARM_POINTS
from streams._snappy import decompress

if TYPE_CHECKING:
    from streams._remote_fast import FastRemote

_V1 = f"{PROTOBUF_TYPE};proto=prometheus.writerequest"
_V2 = f"{PROTOBUF_TYPE};proto=io.prometheus.write.v2.request"
_UNPACKED_MAX = 32 << 20  # of one request; Prometheus sends 2000 samples, some hundred KiB
_WRITTEN = "X-Prometheus-Remote-Write-%s-Written"


class PrometheusRemoteWrite:
    """fast: True to use numba from the first message, False never; None once it pays and where it is installed.

    Not safe for use by two threads at once. Raises ModuleNotFoundError if `fast` is True and numba is not installed.
    """

    kind = "prometheus"
    topics: tuple[str, ...] = ()
    intake = Intake(
        ("/api/v1/write",), (PROTOBUF_TYPE, _V1, _V2), max_bytes=_UNPACKED_MAX, codings=("snappy",),
        keeps=("content-type",), explains="text",
    )  # fmt: skip

    def __init__(self, fast: bool | None = None) -> None:
        has_numba = importlib.util.find_spec("numba") is not None
        self._fast: FastRemote | None = None
        if fast:
            self.use_kernels()
        self._points_until_fast = WARM_POINTS if fast is None and has_numba else 0

    def decode(self, message: Message) -> Decoded:
        """Points and histogram points, those of samples first, in the order of the message.

        Raises SourceError SNAPPY_TOO_LARGE, SNAPPY_INVALID, REMOTE_WRITE_INVALID, REMOTE_WRITE_OTHER_VERSION.
        """
        level = V2 if "io.prometheus.write.v2" in message.header(HTTP + "content-type") else V1
        try:
            data, tenant = decompress(message.value, _UNPACKED_MAX), tenant_of(message)
            found = self._fast.decode(data, tenant, level) if self._fast is not None else None
            decoded = found or decode(data, tenant, level)
        except SourceError as error:
            raise located(error, message) from error
        if self._fast is None and self._points_until_fast > 0:
            self._points_until_fast -= len(decoded.points.t)
            if self._points_until_fast <= 0:
                self.use_kernels()
        return decoded

    def use_kernels(self) -> None:
        """Use the fast decoder from now on. Raises ModuleNotFoundError without numba."""
        if self._fast is None:
            from streams._remote_fast import FastRemote  # here, because it needs numba

            self._fast = FastRemote()

    def reply(self, headers: Mapping[str, str], decoded: Decoded | None) -> Reply:
        """204 and what was written; 400 if part of the body cannot be used, which a sender must not send again."""
        assert decoded is not None
        written = tuple(
            (_WRITTEN % name, str(decoded.counted.get(name.lower(), 0)))
            for name in ("Samples", "Histograms", "Exemplars")
        )  # fmt: skip
        if not decoded.rejected:
            return Reply(204, written)
        lost = "; ".join(f"{bad.samples} rejected as {bad.reason}, {bad.what}" for bad in decoded.rejected)
        kept = decoded.counted.get("samples", 0) + decoded.counted.get("histograms", 0)
        return Reply(400, written, f"partial write: {kept} samples kept; {lost}\n"[:1000].encode(), "text/plain")


PLUGIN = PrometheusRemoteWrite
