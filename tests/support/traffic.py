"""OTLP bytes of many series at a steady step, fast: one pre-rendered message whose times and values are overwritten."""

import numpy as np

import schemas as sc
from schemas.core import NS, Emit
from streams._otlp_encode import gauge, request

_T, _V = 0x1122334455667788, 1.2345e-67


def message(names: list[str], service: str, t_ns: int, values: np.ndarray, *, source: str = "") -> Emit:
    """One ExportMetricsServiceRequest with a gauge point of each name."""
    items = [gauge(name, "1", t_ns, float(value)) for name, value in zip(names, values, strict=True)]
    body = request([((("service.name", service),), items)])
    headers = (("tidegate-source", source.encode()),) if source else ()
    return Emit(sc.OTLP_METRICS, service.encode(), body, headers, t_ns)


class Steady:
    """Messages of one service with `n` series, rendered once and patched, for millions of points."""

    def __init__(self, service: str, n: int) -> None:
        names = [f"m{i}" for i in range(n)]
        template = message(names, service, _T, np.full(n, _V)).value
        self.service = service
        self._bytes = np.frombuffer(template, np.uint8).copy()
        t_mark, v_mark = _T.to_bytes(8, "little"), np.float64(_V).tobytes()
        self._t = _places(template, t_mark)
        self._v = _places(template, v_mark)
        assert len(self._t) == len(self._v) == n

    def at(self, t_ns: int, values: np.ndarray) -> Emit:
        body = self._bytes.copy()
        body[self._t[:, None] + np.arange(8)] = np.frombuffer(int(t_ns).to_bytes(8, "little"), np.uint8)
        body[self._v[:, None] + np.arange(8)] = values.astype(np.float64).view(np.uint8).reshape(len(values), 8)
        return Emit(sc.OTLP_METRICS, self.service.encode(), body.tobytes(), (), t_ns)


def _places(data: bytes, mark: bytes) -> np.ndarray:
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 8)
    return np.array(found)


def final(topic: str, t_ns: int) -> Emit:
    mark = sc.Watermark(stage="outside", through_ns=t_ns, final=True)
    return sc.emit(topic, mark, id=f"final {topic}", key="", source="test", event_ns=t_ns)


SECOND = NS
