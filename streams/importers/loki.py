"""Importer of log lines out of Loki: lines of `logcli query --output=jsonl`, or answers of `query_range`.

The service is the owner of the pod, else that of the labels `service_name`, `deployment`, `job`, `app`, `container`.
Source: Loki 3 HTTP API, `resultType: streams`; logcli 3.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schemas.core import Emit
from streams._import import Options, check_options
from streams._prometheus_labels import service_of
from streams.importers._batches import Morgue
from streams.importers._json_files import documents
from streams.importers._log_lines import Line, emits
from streams.importers._rows import iso_ns

_SOURCE = "import.loki"


class Loki:
    """No options. What is neither a line nor an answer becomes a dead letter."""

    kind = "loki"

    def read(self, path: Path, options: Options) -> Iterator[Emit]:
        check_options(self.kind, options, ())
        morgue = Morgue(_SOURCE)
        found: list[Line] = []
        for document in documents(path):
            try:
                found += _lines(document.value)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                what = document.error or f"no line and no answer of Loki: {error!r}"
                newest = found[-1].at_ns if found else 0
                morgue.keep(document.raw, reason="ROW_UNREADABLE", what=what, where=document.where, event_ns=newest)
        yield from emits(_SOURCE, found, morgue)

    def labels(self, path: Path, options: Options) -> list[dict[str, Any]]:
        return []


PLUGIN = Loki


def _lines(document: Any) -> list[Line]:
    """Raises KeyError, TypeError, ValueError, AttributeError for another form."""
    if isinstance(document, dict) and "line" in document:
        return [_line(document["labels"], iso_ns(document["timestamp"]), document["line"])]
    return [
        _line(stream["stream"], int(value[0]), value[1])
        for stream in document["data"]["result"]
        for value in stream["values"]
    ]


def _line(labels: Mapping[str, str], at_ns: int, body: str) -> Line:
    if not 0 < at_ns < 1 << 63:
        raise ValueError(f"{at_ns} is no time")
    service = service_of({name: str(value) for name, value in labels.items()})
    level = labels.get("detected_level") or labels.get("level") or labels.get("severity") or ""
    return Line(at_ns, service, str(labels.get("pod", "")), str(body), str(level))
