"""Prometheus: did the resources of a suspect move with its symptom?

A range query from before the onset until now, built from enumerated templates: nobody can have another expression run.
The only foreign text in it is the name of the service, quoted twice: as a regular expression of RE2 and as a string of
PromQL. Confirms CPU or memory as the cause if they moved at the onset; flat ones speak for nothing.
Source: Prometheus HTTP API v1, "Range queries"; RE2 syntax; PromQL string literals.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from diagnosis._contract import Answer, Context, Finding, Onset, Parameters, QueryFailed, Speaks, Suspect
from schemas.core import NS

TEMPLATES: Mapping[str, str] = {
    "asked_cpu": "sum(rate(container_cpu_usage_seconds_total{%s}[2m]))",
    "asked_memory": "max(container_memory_working_set_bytes{%s})",
    "asked_restarts": "sum(increase(kube_pod_container_status_restarts_total{%s}[5m]))",
}
BEFORE_S, STEP_S = 900.0, 30.0
LEAST_SAMPLES = 3
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Prometheus:
    """Compares the means before and after the onset."""

    kind = "saturation"
    subsystem = "prometheus"
    version = "1"
    about = "that CPU, memory or restarts moved with the symptom"
    evidence: Mapping[str, Speaks] = {
        "asked_cpu": Speaks("cpu", "needs other CPU time than before"),
        "asked_memory": Speaks("memory", "needs other memory than before"),
        "asked_restarts": Speaks("", "was restarted"),
    }
    cost = 3.0
    timeout_s = 15.0
    parameters: type[Parameters] = Onset

    def ask(self, suspect: Suspect) -> Onset | None:
        return Onset.of(suspect)

    async def run(self, parameters: Parameters, tenant: str, context: Context) -> Answer:
        """One request a template; what Prometheus does not know is left out. Raises QueryFailed."""
        reader = context.prometheus
        if reader is None or not isinstance(parameters, Onset):
            raise QueryFailed("PROMETHEUS_NOT_SET_UP", "no address of a Prometheus server is set")
        selector = selector_of(context.prometheus_label, parameters.service)
        start = parameters.onset_ns / NS - BEFORE_S
        found = []
        for kind, template in TEMPLATES.items():
            query = {
                "query": template % selector, "start": f"{start:.3f}", "end": f"{parameters.end_ns / NS:.3f}",
                "step": f"{STEP_S:g}",
            }  # fmt: skip
            values = values_of(await reader.get("/api/v1/query_range", query))
            finding = _finding(kind, values, parameters)
            if finding is not None:
                found.append(finding)
        return Answer(findings=found, cost=float(len(TEMPLATES)))


def selector_of(label: str, service: str) -> str:
    """A label matcher for a service and its pods (`cart`, `cart-5d9-x2`), safe against whatever the name holds.

    >>> selector_of("pod", 'a"b.c')
    'pod=~"a\\\\"b\\\\\\\\.c(-.*)?"'
    """
    if not _LABEL.fullmatch(label):
        raise QueryFailed("PROMETHEUS_LABEL", "the label that names a service is not a label name")
    pattern = re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", service) + "(-.*)?"
    quoted = pattern.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{label}=~"{quoted}"'


def values_of(document: Any) -> list[tuple[float, float]]:
    """Times in seconds and finite values of the one series of a range answer, in order; empty if there is none.

    Raises QueryFailed if it is not an answer to a range query.
    """
    try:
        if document["status"] != "success" or document["data"]["resultType"] != "matrix":
            raise QueryFailed("PROMETHEUS_REFUSED", "Prometheus did not answer with a matrix")
        result = document["data"]["result"]
        points = [(float(t), float(v)) for t, v in result[0]["values"]] if result else []
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise QueryFailed("PROMETHEUS_UNREADABLE", "the answer of Prometheus has another form") from error
    return [(t, v) for t, v in points if math.isfinite(t) and math.isfinite(v)]


def _finding(kind: str, values: list[tuple[float, float]], asked: Onset) -> Finding | None:
    before = [v for t, v in values if t * NS < asked.onset_ns]
    after = [v for t, v in values if t * NS >= asked.onset_ns]
    if len(before) < LEAST_SAMPLES or len(after) < 1:
        return None
    was, is_ = math.fsum(before) / len(before), math.fsum(after) / len(after)
    whole = abs(was) + abs(is_)
    return Finding(
        kind=kind, service=asked.service, strength=float(f"{abs(is_ - was) / whole if whole else 0.0:.12g}"),
        now=float(f"{is_:.12g}"), before=float(f"{was:.12g}"), samples=len(after),
        start_ns=asked.onset_ns - int(BEFORE_S * NS), end_ns=max(asked.end_ns, asked.onset_ns),
    )  # fmt: skip


PLUGIN = Prometheus
