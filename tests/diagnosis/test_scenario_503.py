"""503s at the front: its last deploy looks guilty, until what is asked contradicts it.

The services, the deploy history, the orchestrator and the traces are asked by the shipped queries; their answers are in
the forms of those systems.
"""

from support.query_answers import Says, argocd, jaeger, kubernetes
from support.scenario_503 import played

from diagnosis import Context
from diagnosis.queries.argocd import ArgoCd
from diagnosis.queries.jaeger import Jaeger
from diagnosis.queries.kubernetes import Kubernetes

QUERIES = {query.kind: query for query in (ArgoCd(), Jaeger(), Kubernetes())}


class Apps(Says):
    """The front was synced forty minutes before the onset; redis lost its pods to the memory killer."""

    async def get(self, path, query):
        if path.startswith("/api/v1/applications"):
            return argocd(2400, "a1", "b2") if path.endswith("front") else argocd(10**6, "a1", "a1")
        if "deployments" in path:
            self.answer = path.rsplit("/", 1)[1]
        return kubernetes(path, ready=0, killed=True) if self.answer == "redis" else kubernetes(path)


CONTEXT = Context(argocd=Apps(""), kubernetes=Apps(""), jaeger=Says(jaeger(failed=("front", "cart", "redis"))))


def test_the_first_suspicion_gives_way_to_what_the_servers_say():
    said, asked = played(QUERIES, CONTEXT)
    first, last = said[0].hypotheses[0].cause, said[-1].hypotheses[0].cause
    assert first.entity == "front" and last.entity == "redis"
    kinds = {evidence.kind for evidence in said[-1].hypotheses[0].evidence}
    assert {"asked_killed", "asked_replicas"} <= kinds
    assert {i.query for i in asked} == {"argocd_history", "kubernetes_workload"}  # decided by then
