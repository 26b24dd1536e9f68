"""Business metrics: orders, payments, sign-ups, revenue; one JSON object or a list of them under `metrics`.

`{"service", "name", "value", "at", "unit", "kind", "labels"}`. kind `count` is how many since the last one, so windows
sum it; `gauge` (the default) is a level. They are series like any other, of signal `business`, which policies see.
What OpenTelemetry SDKs count themselves needs none of this: send it as metrics.
"""

from typing import Any

import numpy as np

import schemas as sc
from schemas.core import Message
from streams._decoded import Decoded, Points
from streams._entities import tenant_of
from streams._intake import Intake
from streams.sources._webhook import Fields, entity_of, short

_CODE = "BUSINESS_INVALID"
_MOST_BYTES = 8_192
_MOST = 1e308  # an integer that is larger fits no float


class Business:
    kind = "business"
    topics: tuple[str, ...] = ()
    intake = Intake(paths=("/v1/business",))

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError BUSINESS_INVALID naming the field."""
        body = Fields.of(message, _CODE)
        found = [_sample(message, one) for one in (body.parts("metrics") if "metrics" in body else [body])]
        if not found:
            return Decoded()
        series, times, values = zip(*found, strict=True)
        ids = [int(definition.id, 16) for definition in series]
        points = Points(np.array(ids, np.uint64), np.array(times, np.int64), np.array(values, np.float64))
        return Decoded(points=points, definitions=dict(zip(ids, series, strict=True)), is_occasional=True)


PLUGIN = Business


def _sample(message: Message, one: Fields) -> tuple[sc.SeriesDef, int, float]:
    service, name, kind = short(one.text("service")), one.text("name"), one.any("kind") or "gauge"
    if kind not in ("gauge", "count"):
        raise one.wrong("kind", f"'{kind[:40]}' is neither gauge nor count")
    value: Any = one.raw("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _MOST:
        raise one.wrong("value", "a finite number is due") if value is not None else one.missing("value")
    labels = dict(one.maybe("labels").items())
    if sum(len(k) + len(v) for k, v in labels.items()) > _MOST_BYTES:
        raise one.wrong("labels", f"they take more than {_MOST_BYTES} characters")
    tenant, entity = tenant_of(message), entity_of(message, service)
    definition = sc.SeriesDef(
        id=f"{sc.series_id(tenant, entity, name, labels):016x}", tenant=tenant, entity_id=entity, service=service,
        name=name, labels=labels, unit=one.any("unit") or "1", signal="business",
        kind="count" if kind == "count" else "gauge", temporality="delta" if kind == "count" else "instant",
    )  # fmt: skip
    return definition, one.time("at", default=message.received_ns), float(value)
