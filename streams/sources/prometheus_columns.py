"""Samples of Prometheus as columns, as `tidegate look` and the importer of Prometheus exports write them."""

import json
from collections.abc import Mapping

import numpy as np

from schemas import SeriesDef
from schemas.core import U64, Message
from streams._columns import KIND, decode
from streams._decoded import Decoded, Points
from streams._entities import tenant_of
from streams._errors import SourceError
from streams._prometheus_labels import definition_of

_MOST_BOOKS = 64


class PrometheusColumns:
    """Definitions are kept by the text that they are made from, because chunks of one history repeat it."""

    kind = KIND
    topics: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._books: dict[tuple[str, bytes], tuple[U64, Mapping[int, SeriesDef]]] = {}

    def decode(self, message: Message) -> Decoded:
        """Raises SourceError COLUMNS_INVALID."""
        text, which, t, value = decode(message.value)
        ids, definitions = self._book(tenant_of(message), text)
        if len(which) and not (int(which.min()) >= 0 and int(which.max()) < len(ids)):
            raise SourceError("a sample is of a series that is not listed", code="COLUMNS_INVALID")
        return Decoded(points=Points(ids[which], t, value), definitions=definitions)

    def _book(self, tenant: str, text: bytes) -> tuple[U64, Mapping[int, SeriesDef]]:
        found = self._books.get((tenant, text))
        if found is None:
            try:
                series = [definition_of(labels, kind, tenant) for labels, kind in json.loads(text)]
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                raise SourceError(
                    f"the list of series cannot be read: {str(error)[:120]}", code="COLUMNS_INVALID"
                ) from error
            ids = np.array([int(one.id, 16) for one in series], np.uint64)
            found = ids, dict(zip(ids.tolist(), series, strict=True))
            if len(self._books) >= _MOST_BOOKS:
                self._books.pop(next(iter(self._books)))
            self._books[tenant, text] = found
        return found


PLUGIN = PrometheusColumns
