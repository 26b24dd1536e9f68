"""Importer of what was saved of a Prometheus: answers of range queries, or a dump of its blocks.

Reads the JSON of `/api/v1/query_range` and `/api/v1/query` with a range (saved with curl), and the text of
`promtool tsdb dump` and `tsdb dump-openmetrics`: `{__name__="up", job="x"} 1 1700000000000`. Series are put in order of
time, so all samples are in memory once. Option: kinds=FILE, the answer of `/api/v1/metadata`; without it names decide
what is a counter. Source: Prometheus HTTP API v1; promtool 2 and 3; OpenMetrics 1.0 (times in seconds there).
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import schemas as sc
from schemas import why
from schemas.core import F64, I64, NS, Emit
from streams._columns import KIND as COLUMNS
from streams._columns import encode
from streams._errors import ImportError_
from streams._import import ROWS, Options, check_options
from streams._normalise import KIND, SOURCE
from streams.importers._batches import Morgue
from streams.importers._json_files import Document, files_of, text_of

_SOURCE = "import.prometheus"
_SLAB_NS, _MOST_ROWS = 600 * NS, 50_000
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*|"(?:[^"\\]|\\.)*")\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?')
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}
Labels = tuple[tuple[str, str], ...]
Samples = tuple[list[int], list[float]]


class Prometheus:
    """See the module. Values that are no number (stale markers, infinity) are absent."""

    kind = "prometheus"

    def read(self, path: Path, options: Options) -> Iterator[Emit]:
        check_options(self.kind, options, ("kinds",))
        kinds, morgue = _kinds(options.get("kinds", "")), Morgue(_SOURCE)
        series: dict[Labels, Samples] = {}
        for file in files_of(path):
            _file(file.name, text_of(file), series, morgue)
        if not series:
            what = "no samples of Prometheus are here"
            raise ImportError_(what, where=str(path), todo="Save a range query or `promtool tsdb dump`")
        labels = [dict(one) for one in series]
        which = np.repeat(np.arange(len(series), dtype=np.int32), [len(t) for t, _ in series.values()])
        t = np.concatenate([np.array(t, np.int64) for t, _ in series.values()])
        value = np.concatenate([np.array(v, np.float64) for _, v in series.values()])
        order = np.argsort(t, kind="stable")
        told = [(one, kinds.get(one.get("__name__", ""), "")) for one in labels]
        yield from _emits(told, which[order], t[order], value[order], morgue)

    def labels(self, path: Path, options: Options) -> list[dict[str, Any]]:
        return []


PLUGIN = Prometheus


def _emits(series: list[tuple[dict[str, str], str]], which: Any, t: I64, value: F64, morgue: Morgue) -> Iterator[Emit]:
    first, last = int(t[0]), int(t[-1])
    cover = sc.Coverage(signal="metrics", start_ns=first, end_ns=last + 1)
    headers = ((KIND, COLUMNS.encode()), (SOURCE, _SOURCE.encode()))
    yield sc.emit(
        sc.RAW, cover, id=sc.record_id("coverage", _SOURCE, first, last), key="", source=_SOURCE, event_ns=first
    )
    letters = morgue.letters()
    yield from letters
    cuts = np.flatnonzero(np.diff((t - first) // _SLAB_NS)) + 1
    for piece in np.split(np.arange(len(t)), cuts):
        for start in range(0, len(piece), _MOST_ROWS):
            rows = piece[start : start + _MOST_ROWS]
            used, own = np.unique(which[rows], return_inverse=True)
            body = encode([series[i] for i in used.tolist()], own.astype(np.int32), t[rows], value[rows])
            yield Emit(sc.RAW, b"", body, (*headers, (ROWS, str(len(rows)).encode())), int(t[rows[-1]]))
    mark = sc.Watermark(stage=f"source:{_SOURCE}", through_ns=last, final=True)
    yield sc.emit(sc.RAW, mark, id=sc.record_id("watermark", _SOURCE, last), key="", source=_SOURCE, event_ns=last)


def _file(name: str, data: bytes, series: dict[Labels, Samples], morgue: Morgue) -> None:
    if data.lstrip()[:1] == b"{" and (document := _json(data)) is not None:
        try:
            _answer(document, series)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            morgue.keep(
                data[:10_000],
                reason="ROW_UNREADABLE",
                what=f"no answer of a range query: {error!r}",
                where=name,
                event_ns=0,
            )
        return
    is_open = data.rstrip().endswith(b"# EOF")
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        try:
            labels, at, value = _line(line.decode("utf-8"), NS if is_open else 1_000_000)
        except ValueError as error:
            where = Document(f"{name}:{number}", line, None).where
            morgue.keep(line, reason="ROW_UNREADABLE", what=str(error), where=where, event_ns=0)
            continue
        _add(series, labels, [(at, value)])


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _answer(document: Any, series: dict[Labels, Samples]) -> None:
    for row in document["data"]["result"]:
        labels = tuple(sorted((str(k), str(v)) for k, v in row["metric"].items()))
        _add(series, labels, [(round(at * 1000) * 1_000_000, float(text)) for at, text in row["values"]])


def _line(line: str, unit_ns: int) -> tuple[Labels, int, float]:
    """`name{labels} value time` or `{__name__="name", ...} value time`. Raises ValueError."""
    head, brace, rest = line.partition("{")
    labels = {"__name__": head.strip()} if head.strip() else {}
    if not brace:
        name, _, rest = line.strip().partition(" ")
        labels = {"__name__": name}
    else:
        at = 0
        while found := _LABEL.match(rest, at):
            labels[found[1].strip('"')] = re.sub(r"\\[n\"\\]", lambda m: _ESCAPES[m[0]], found[2])
            at = found.end()
        if rest[at : at + 1] != "}":
            raise ValueError(f"labels do not end: '{rest[at : at + 40]}'")
        rest = rest[at + 1 :]
    parts = rest.split()
    if len(parts) < 2 or "__name__" not in labels:
        raise ValueError("a name, a value and a time are due")
    time_ns = int(float(parts[1]) * (unit_ns // 1_000_000) * 1000) * 1000 if unit_ns == NS else int(parts[1]) * unit_ns
    return tuple(sorted(labels.items())), time_ns, float(parts[0])


def _add(series: dict[Labels, Samples], labels: Labels, samples: list[tuple[int, float]]) -> None:
    times, values = series.setdefault(labels, ([], []))
    for at, value in samples:
        if np.isfinite(value) and 0 < at < 1 << 63:
            times.append(at)
            values.append(value)
    if not times:
        del series[labels]


def _kinds(file: str) -> Mapping[str, str]:
    if not file:
        return {}
    try:
        found = json.loads(Path(file).read_bytes())["data"]
        kinds = {name: told[0]["type"] for name, told in found.items()}
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        todo = "Save the answer of /api/v1/metadata"
        raise ImportError_(f"no metadata of Prometheus: {why(error)}", where=file, todo=todo) from error
    parts = {
        f"{n}{e}": k for n, k in kinds.items() if k in ("histogram", "summary") for e in ("_sum", "_count", "_bucket")
    }
    return kinds | parts
