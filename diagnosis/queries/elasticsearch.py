"""Elasticsearch: does the suspect write more errors since the onset than before?

One search of fixed form, by ECS fields: lines of the service with an error level, counted before and after. Confirms
trouble that says so itself; silence eliminates nothing.
Source: Elasticsearch REST API, `GET /{index}/_search` with `source`, "filters aggregation"; ECS `service.name`,
`log.level`, `@timestamp`.
"""

import json
from collections.abc import Mapping
from typing import Any

from diagnosis._contract import Answer, Context, Onset, Parameters, QueryFailed, Speaks, Suspect
from diagnosis.queries._numbers import BEFORE_S, at, compared, number
from schemas.core import NS

LEVELS = ["error", "ERROR", "critical", "CRITICAL", "fatal", "FATAL", "alert", "emergency"]
UNREADABLE = "ELASTICSEARCH_UNREADABLE"


class Elasticsearch:
    """Error lines a minute, before and after the onset."""

    kind = "elasticsearch_errors"
    subsystem = "elasticsearch"
    version = "1"
    about = "that a service writes more errors since the onset"
    evidence: Mapping[str, Speaks] = {"asked_es_errors": Speaks("code", "writes more error lines than before")}
    cost = 2.0
    timeout_s = 15.0
    parameters: type[Parameters] = Onset

    def ask(self, suspect: Suspect) -> Onset | None:
        return Onset.of(suspect)

    async def run(self, parameters: Parameters, tenant: str, context: Context) -> Answer:
        """Raises QueryFailed, also where only some shards answered."""
        reader = context.elasticsearch
        if reader is None or not isinstance(parameters, Onset):
            raise QueryFailed("ELASTICSEARCH_NOT_SET_UP", "no address of an Elasticsearch server is set")
        body = json.dumps(search_of(parameters))
        query = {"source": body, "source_content_type": "application/json"}
        document: Any = await reader.get(f"/{context.elasticsearch_index}/_search", query)
        if at(document, "timed_out") is True or number(at(document, "_shards", "failed")):
            raise QueryFailed("ELASTICSEARCH_PARTIAL", "not every shard answered")
        counts = [number(at(document, "aggregations", "when", "buckets", name, "doc_count"))
                  for name in ("before", "after")]  # fmt: skip
        if counts[0] is None or counts[1] is None or min(counts[0], counts[1]) < 0:
            raise QueryFailed(UNREADABLE, "the answer has no buckets `before` and `after`")
        minutes = max((parameters.end_ns - parameters.onset_ns) / NS / 60, 0.5)
        finding = compared("asked_es_errors", parameters.service, counts[0] / (BEFORE_S / 60), counts[1] / minutes,
                           int(min(counts[0] + counts[1], 2**53)), parameters.onset_ns, parameters.end_ns)  # fmt: skip
        return Answer(findings=[finding], cost=1.0)


def search_of(asked: Onset) -> dict[str, Any]:
    """The body of the search; the name of the service is a value in it and nothing else."""
    times = asked.onset_ns - BEFORE_S * NS, asked.onset_ns, max(asked.end_ns, asked.onset_ns)
    start, onset, end = (int(t) // 1_000_000 for t in times)

    def between(low: int, high: int) -> dict[str, Any]:
        return {"range": {"@timestamp": {"gte": low, "lt": high, "format": "epoch_millis"}}}

    wanted = [{"term": {"service.name": asked.service}}, {"terms": {"log.level": LEVELS}}, between(start, end)]
    windows = {"before": between(start, onset), "after": between(onset, end)}
    return {
        "size": 0, "track_total_hits": False, "timeout": "10s", "query": {"bool": {"filter": wanted}},
        "aggs": {"when": {"filters": {"filters": windows}}},
    }  # fmt: skip


PLUGIN = Elasticsearch
