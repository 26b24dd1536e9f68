"""Loki: does the suspect write more errors since the onset than before?

Two metric queries of LogQL from an enumerated template; the only foreign text is the name of the service, as a quoted
string. Confirms code or dependency trouble that says so itself; silence eliminates nothing, for the silent die too.
Source: Grafana Loki HTTP API, `GET /loki/api/v1/query_range`, "matrix"; LogQL, "Log range aggregations".
"""

import json
from collections.abc import Mapping
from typing import Any

from diagnosis._contract import Answer, Context, Onset, Parameters, QueryFailed, Speaks, Suspect
from diagnosis.queries._numbers import BEFORE_S, LEAST, compared, items, mean, needed, number
from schemas.core import NS

TEMPLATE = 'sum(count_over_time({%s=%s} |~ "(?i)(error|exception|fatal|panic)" [1m]))'
STEP_S = 30
UNREADABLE = "LOKI_UNREADABLE"


class Loki:
    """Compares error lines a minute before and after the onset."""

    kind = "loki_errors"
    subsystem = "loki"
    version = "1"
    about = "that a service writes more errors since the onset"
    evidence: Mapping[str, Speaks] = {"asked_loki_errors": Speaks("code", "writes more error lines than before")}
    cost = 2.0
    timeout_s = 15.0
    parameters: type[Parameters] = Onset

    def ask(self, suspect: Suspect) -> Onset | None:
        return Onset.of(suspect)

    async def run(self, parameters: Parameters, tenant: str, context: Context) -> Answer:
        """No lines at all give no finding. Raises QueryFailed."""
        reader = context.loki
        if reader is None or not isinstance(parameters, Onset):
            raise QueryFailed("LOKI_NOT_SET_UP", "no address of a Loki server is set")
        query = {
            "query": TEMPLATE % (context.loki_label, json.dumps(parameters.service)),
            "start": str(parameters.onset_ns - int(BEFORE_S * NS)), "end": str(parameters.end_ns), "step": str(STEP_S),
        }  # fmt: skip
        document: Any = await reader.get("/loki/api/v1/query_range", query)
        before, after = list[float](), list[float]()
        for series in needed(document, UNREADABLE, "data", "result"):
            for pair in items(series, "values"):
                t, value = (number(pair[0]), number(pair[1])) if isinstance(pair, list) and len(pair) == 2 else (0, 0)
                if t is not None and value is not None and value >= 0:
                    (before if t * NS < parameters.onset_ns else after).append(value)
        if not after or len(before) + len(after) < LEAST:
            return Answer(cost=1.0)
        finding = compared("asked_loki_errors", parameters.service, mean(before), mean(after), len(after),
                           parameters.onset_ns, parameters.end_ns)  # fmt: skip
        return Answer(findings=[finding], cost=1.0)


PLUGIN = Loki
