"""What servers that are asked about incidents answer, in the forms of their own documentation, as values.

Loki: Grafana Loki HTTP API, query_range (matrix). Elasticsearch: search API, filters aggregation. Jaeger: query
service, /api/traces. Kubernetes: apps/v1 and core/v1 objects. Argo CD: GET /api/v1/applications/{name}. PostgreSQL:
rows of pg_stat_activity. Times are around T, the onset is a minute before.
"""

from datetime import UTC, datetime
from typing import Any

from schemas.core import NS

T = 1_700_000_000 * NS
ONSET = T - 60 * NS


def rfc3339(ns: int) -> str:
    return datetime.fromtimestamp(ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def loki(before: int, after: int) -> dict[str, Any]:
    first = ONSET // NS - 300
    values = [[first + 30 * i, str(before if first + 30 * i < ONSET // NS else after)] for i in range(13)]
    return {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": values}],
                                          "stats": {"summary": {"bytesProcessedPerSecond": 1}}}}  # fmt: skip


def elasticsearch(before: int, after: int) -> dict[str, Any]:
    buckets = {"before": {"doc_count": before}, "after": {"doc_count": after}}
    return {"took": 4, "timed_out": False, "_shards": {"total": 5, "successful": 5, "skipped": 0, "failed": 0},
            "hits": {"max_score": None, "hits": []}, "aggregations": {"when": {"buckets": buckets}}}  # fmt: skip


def jaeger(*, failed: tuple[str, ...] = (), own_us: int = 1000, traces: int = 5) -> dict[str, Any]:
    """front calls cart calls redis; `failed` names the services whose spans failed."""
    chain, processes = ("front", "cart", "redis"), {"p0": "front", "p1": "cart", "p2": "redis"}
    data = []
    for n in range(traces):
        spans = []
        for i, service in enumerate(chain):
            above = [{"refType": "CHILD_OF", "traceID": f"t{n}", "spanID": f"s{n}{i - 1}"}] if i else []
            tags = [{"key": "error", "type": "bool", "value": True}] if service in failed else []
            took = 1000 * (len(chain) - i) + (own_us - 1000 if i <= 1 else 0)
            spans.append({"traceID": f"t{n}", "spanID": f"s{n}{i}", "operationName": "GET", "references": above,
                          "startTime": ONSET // 1000, "duration": took, "tags": tags, "logs": [],
                          "processID": f"p{i}", "warnings": None})  # fmt: skip
        named = {key: {"serviceName": name, "tags": []} for key, name in processes.items()}
        data.append({"traceID": f"t{n}", "spans": spans, "processes": named, "warnings": None})
    return {"data": data, "total": 0, "limit": 0, "offset": 0, "errors": None}


def kubernetes(path: str, *, ready: int = 3, killed: bool = False, image: str = "cart:7") -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "cart"}
    if "/deployments/" in path:
        spec = {"replicas": 3, "selector": {"matchLabels": labels}}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart"}, "spec": spec,
                "status": {"readyReplicas": ready}}  # fmt: skip
    if path.endswith("/replicasets"):
        return {"kind": "ReplicaSetList", "items": [
            {"metadata": {"annotations": {"deployment.kubernetes.io/revision": str(n)}, "creationTimestamp": made},
             "spec": {"template": {"spec": {"containers": [{"name": "cart", "image": used}]}}}}
            for n, made, used in ((1, rfc3339(T - 10**7 * NS), "cart:7"), (2, rfc3339(ONSET - 90 * NS), image))
        ]}  # fmt: skip
    ended = {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": rfc3339(ONSET)}} if killed else {}
    status = {"containerStatuses": [{"name": "cart", "ready": True, "restartCount": 0, "state": {"running": {}},
                                     "lastState": ended}]}  # fmt: skip
    return {"kind": "PodList", "items": [{"metadata": {"name": f"cart-{n}"}, "status": status} for n in range(3)]}


def argocd(ago_s: int, *revisions: str) -> dict[str, Any]:
    ages = [ago_s + 86400 * (len(revisions) - 1 - n) for n in range(len(revisions))]
    history = [{"id": n, "revision": revision, "deployedAt": rfc3339(ONSET - age * NS)}
               for n, (revision, age) in enumerate(zip(revisions, ages, strict=True))]  # fmt: skip
    return {"metadata": {"name": "cart"}, "status": {"history": history, "sync": {"status": "Synced"}}}


class Says:
    """A reader that always answers the same, or by path."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, list[tuple[str, dict[str, str]]]()

    async def get(self, path: str, query: Any) -> Any:
        self.asked.append((path, dict(query)))
        return self.answer(path) if callable(self.answer) else self.answer

    async def rows(self, query: str) -> Any:
        return self.answer if isinstance(self.answer, list) and all(isinstance(r, dict) for r in self.answer) else []

    async def changed(self, old: str, new: str) -> list[str]:
        return list(self.answer)


def quiet_context() -> dict[str, Says]:
    """Readers by the names that `Context` has for them, of a shop in which nothing is wrong."""
    rows = [{"application": "cart", "sessions": 4, "waiting": 0, "idle": 0, "most": 100}]
    return {
        "loki": Says(loki(2, 2)), "elasticsearch": Says(elasticsearch(30, 3)), "jaeger": Says(jaeger()),
        "kubernetes": Says(kubernetes), "argocd": Says(argocd(10**6, "a1", "a1")), "postgres": Says(rows),
        "git": Says(("README.md", "docs/cart.md")),
    }  # fmt: skip


_DEEP: Any = []
for _ in range(200):
    _DEEP = [_DEEP]
HOSTILE: list[Any] = [
    None, [], {}, "no", 5, [{}], {"data": None}, {"data": []}, {"data": {"result": [{"values": [[{}, []], 3, None]}]}},
    {"data": {"result": [{"values": [["nan", "inf"], [1, "-1"], [True, 1e999]]}]}},
    {"data": [{"spans": [{"spanID": 3}, {"spanID": "a", "processID": [], "duration": -5, "references": [{"spanID": "a",
      "refType": "CHILD_OF"}]}], "processes": []}]},
    {"items": [{"status": 3}, None]}, {"spec": {"selector": {"matchLabels": {"a,b=": "x"}}}, "items": []},
    {"status": {"history": [{"deployedAt": 5, "revision": []}, "x"]}}, {"aggregations": {"when": {"buckets": []}}},
    {"aggregations": {"when": {"buckets": {"before": {"doc_count": "x"}, "after": {"doc_count": -1}}}}},
    [{"application": "cart", "sessions": "many", "most": 0}], [{"application": "cart"}], _DEEP,
]  # fmt: skip
"""Answers that a server should not give."""
