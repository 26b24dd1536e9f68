"""Compiled code made ready before a process takes work: loaded from disk, or on the very first start compiled.

Elsewhere kernels are loaded once a run has shown to be a long one. A process of `run` always is one, and should not
stand still for seconds with tasks in hand. A few made-up messages go through stages of their own, made for that: every
kernel has then been called as it will be, and nothing of it is left in the stages that work.
"""

import importlib.util
from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint

import schemas as sc
from schemas.core import NS, Advance, Emit, Message, Stage, Tick
from streams import PANE_NS, Normalise, StreamSettings
from tidegate import _catalogue
from tidegate._detecting import Detecting

_START = 1_700_000_000 * NS // PANE_NS * PANE_NS
_PANES, _CALM, _LABELS = 30, 20, 16


def warm(stages: Iterable[Stage[Any]], settings: StreamSettings) -> None:
    """Let the stages that have compiled code use it from their first message. Does nothing without numba."""
    if importlib.util.find_spec("numba") is None:
        return
    quick = [stage for stage in stages if isinstance(stage, Normalise | Detecting)]
    for stage in quick:
        stage.use_kernels()
    if quick:
        kinds = {type(stage) for stage in quick}
        _rehearse(settings, is_decoding=Normalise in kinds, is_detecting=Detecting in kinds)


def _rehearse(settings: StreamSettings, *, is_decoding: bool, is_detecting: bool) -> None:
    first = Normalise(_catalogue.find("sources").values(), settings)
    then = Detecting(_catalogue.detectors(), fast=is_detecting or None)
    if is_decoding:
        first.use_kernels()
    normalised, detected = first.initial(), then.initial()
    for pane in range(_PANES):
        start = _START + pane * PANE_NS
        received = start if pane < _CALM else _START + _PANES * PANE_NS  # pane by pane, then many at once
        if pane == _PANES - 1:
            received += PANE_NS
        message = Message(sc.OTLP_METRICS, 0, pane, b"", _otlp(start, pane), (), start, received)
        normalised, said = first.step(normalised, message)
        for one in said if is_detecting else ():
            if isinstance(one, Advance):
                detected, _ = then.step(detected, Tick(one.through_ns))
            elif isinstance(one, Emit) and one.topic == sc.FRAMES:
                frame = Message(sc.FRAMES, one.partition, 0, b"", one.value, one.headers, one.event_ns, one.event_ns)
                detected, _ = then.step(detected, frame)


def _otlp(t_ns: int, pane: int) -> bytes:
    """Gauges and counters of one service at one time; after the calm they are ten times as high."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "rehearsal"
    scope = resource.scope_metrics.add()
    level, counter = scope.metrics.add(name="level", unit="1"), scope.metrics.add(name="requests", unit="1")
    counter.sum.aggregation_temporality, counter.sum.is_monotonic = 2, True
    for label in range(_LABELS):
        value = float(label + pane % 3 + 1)
        for points, number in ((level.gauge.data_points, value), (counter.sum.data_points, value * pane)):
            point = NumberDataPoint(time_unix_nano=t_ns, as_double=number * (10 if pane >= _CALM else 1))
            point.attributes.add(key="n").value.string_value = str(label)
            points.append(point)
    return bytes(request.SerializeToString())
