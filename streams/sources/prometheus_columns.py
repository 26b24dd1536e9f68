"""Samples of Prometheus as columns, as `tidegate look` and the importer of Prometheus exports write them."""

import json

import numpy as np

from schemas.core import U64, Message
from streams._columns import KIND, decode
from streams._decoded import Decoded, Points, Rendered, RenderedDefs
from streams._entities import tenant_of
from streams._errors import SourceError
from streams._remote_series import COUNTER, GAUGE, named, problem

_MOST_BOOKS = 64
_TYPES = {"counter": COUNTER, "gauge": GAUGE}


class PrometheusColumns:
    """Definitions are kept by the text that they are made from, because chunks of one history repeat it."""

    kind = KIND
    topics: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._books: dict[tuple[str, bytes], tuple[U64, RenderedDefs]] = {}

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError COLUMNS_INVALID."""
        text, which, t, value = decode(message.value)
        ids, definitions = self._book(tenant_of(message), text)
        if len(which) and not (int(which.min()) >= 0 and int(which.max()) < len(ids)):
            raise SourceError("a sample is of a series that is not listed", code="COLUMNS_INVALID")
        return Decoded(points=Points(ids[which], t, value), definitions=definitions)

    def _book(self, tenant: str, text: bytes) -> tuple[U64, RenderedDefs]:
        found = self._books.get((tenant, text))
        if found is None:
            series = _series(text, tenant)
            ids = np.array([number for number, _ in series], np.uint64)
            found = ids, RenderedDefs(dict(series))
            if len(self._books) >= _MOST_BOOKS:
                self._books.pop(next(iter(self._books)))
            self._books[tenant, text] = found
        return found


def _series(text: bytes, tenant: str) -> list[tuple[int, Rendered]]:
    """The series of the list in its order, named as remote write names them. Raises SourceError."""
    found = []
    try:
        for labels, kind in json.loads(text):
            pairs = tuple(sorted(labels.items()))
            if wrong := problem(pairs):
                raise SourceError(wrong.what, code="COLUMNS_INVALID")
            one = named(pairs, tenant, type_=_TYPES.get(kind, 0))
            found.append((one.number, one.definition))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        what = f"the list of series cannot be read: {str(error)[:120]}"
        raise SourceError(what, code="COLUMNS_INVALID") from error
    return found


PLUGIN = PrometheusColumns
