"""Importer of log lines out of Elasticsearch or OpenSearch: lines of elasticdump, or answers of `_search`.

Fields are those of the Elastic Common Schema, nested or dotted: `@timestamp`, `message`, `log.level`, `service.name`,
`kubernetes.pod.name`, `trace.id`; option service=FIELD, message=FIELD, time=FIELD for other names.
Source: Elastic Common Schema 8; Elasticsearch 8 `_search`; elasticdump `--type=data`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schemas.core import Emit
from streams._entities import pod_owner
from streams._import import Options, check_options
from streams.importers._batches import Morgue
from streams.importers._json_files import documents
from streams.importers._log_lines import Line, emits
from streams.importers._rows import iso_ns

_SOURCE = "import.elasticsearch"
_FIELDS = {
    "time": ("@timestamp", "timestamp"), "message": ("message", "log", "event.original"),
    "service": ("service.name", "kubernetes.labels.app_kubernetes_io/name", "kubernetes.labels.app",
                "kubernetes.deployment.name", "kubernetes.container.name", "container.name"),
    "level": ("log.level", "level", "severity_text"), "pod": ("kubernetes.pod.name", "kubernetes.pod_name"),
    "trace": ("trace.id", "trace_id"),
}  # fmt: skip


class Elasticsearch:
    """See the module. A hit without a time or a message becomes a dead letter."""

    kind = "elasticsearch"

    def read(self, path: Path, options: Options) -> Iterator[Emit]:
        check_options(self.kind, options, ("service", "message", "time"))
        names = {part: (options[part], *first) if part in options else first for part, first in _FIELDS.items()}
        morgue = Morgue(_SOURCE)
        found: list[Line] = []
        for document in documents(path):
            try:
                found += [_line(hit, names) for hit in _hits(document.value)]
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                what = document.error or f"no hit of Elasticsearch: {error}"
                newest = found[-1].at_ns if found else 0
                morgue.keep(document.raw, reason="ROW_UNREADABLE", what=what, where=document.where, event_ns=newest)
        yield from emits(_SOURCE, found, morgue)

    def labels(self, path: Path, options: Options) -> list[dict[str, Any]]:
        return []


PLUGIN = Elasticsearch


def _hits(document: Any) -> list[dict[str, Any]]:
    """The sources of an answer, of one hit, or the document itself. Raises TypeError, KeyError, AttributeError."""
    if isinstance(document, dict) and isinstance(document.get("hits"), dict):
        return [hit["_source"] for hit in document["hits"]["hits"]]
    found = document.get("_source", document)
    return [found]


def _line(hit: Mapping[str, Any], names: Mapping[str, tuple[str, ...]]) -> Line:
    """Raises ValueError."""
    said = {part: next((text for name in first if (text := _at(hit, name))), "") for part, first in names.items()}
    if not said["time"] or not said["message"]:
        raise ValueError("a time and a message are due: give time=FIELD or message=FIELD if they have other names")
    at_ns = int(said["time"]) * 1_000_000 if said["time"].isdecimal() else iso_ns(said["time"])
    if not 0 < at_ns < 1 << 63:
        raise ValueError(f"'{said['time']}' is no time")
    service = said["service"] or pod_owner(said["pod"])
    return Line(
        at_ns, service.replace("/", "."), said["pod"].replace("/", "."), said["message"], said["level"], said["trace"]
    )


def _at(hit: Mapping[str, Any], name: str) -> str:
    """A field by its dotted name, however much of it is nested."""
    if name in hit:
        value = hit[name]
        return "" if value is None or isinstance(value, dict | list) else str(value)
    head, dot, rest = name.partition(".")
    while dot:
        inner = hit.get(head)
        if isinstance(inner, dict) and (found := _at(inner, rest)):
            return found
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return ""
