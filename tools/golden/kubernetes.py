"""What a real Kubernetes API server hands out: `KUBE_APISERVER=PATH python -m tools.golden.kubernetes`; needs etcd too.

Objects are written and read back as `kubectl get -o json` would print them, and one is caught by a watch, with all
that the server adds. There are no controllers and no kubelet, so events and owners are those that we write.
Files are `kubernetes.sent.*.json` in `tests/golden/webhooks`; what they must become is written beside the body here.
"""

import http.client
import json
import os
import shutil
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/golden/webhooks"
LABELS = {"app": "checkout-pods"}
POD = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "registry.shop/checkout:4521"}]}}
DEPLOYMENT = {
    "metadata": {"name": "checkout", "annotations": {"kubernetes.io/change-cause": "pool 50"}},
    "spec": {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": POD},
}
SERVICE = {"metadata": {"name": "pay"}, "spec": {"selector": LABELS, "ports": [{"port": 80}]}}
AT = "2026-03-02T11:00:00Z"
ABOUT = {"kind": "Pod", "namespace": "shop", "name": "checkout-7d9f8b6c5d-x2k4p"}
CORE = {
    "metadata": {"name": "checkout.17a", "namespace": "shop"}, "involvedObject": ABOUT, "reason": "BackOff",
    "count": 12, "message": "Back-off restarting failed container", "type": "Warning", "lastTimestamp": AT,
    "source": {"component": "kubelet", "host": "node-1"},
}  # fmt: skip
NEW = {
    "metadata": {"name": "checkout.17b", "namespace": "shop"}, "regarding": ABOUT, "reason": "Unhealthy",
    "note": "Readiness probe failed", "type": "Warning", "eventTime": "2026-03-02T11:00:00.000000Z", "action": "Probe",
    "reportingController": "kubelet", "reportingInstance": "node-1",
}  # fmt: skip


def keep(name: str, version: str, body: Any, expect: list[dict[str, str]]) -> None:
    told = {
        "from": f"kube-apiserver {version}, read back: python -m tools.golden.kubernetes", "kind": "kubernetes",
        "headers": {}, "body": body, "expect": expect,
    }  # fmt: skip
    (OUT / f"kubernetes.sent.{name}.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def first_of_watch(port: int, path: str, token: str) -> Any:
    """The first line of a watch."""
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
    connection.request("GET", f"{path}?watch=1&timeoutSeconds=5", None, {"Authorization": f"Bearer {token}"})
    line = connection.getresponse().readline()
    connection.close()
    return json.loads(line)


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from support.kube import ADMIN, Cluster

    server, etcd = os.environ["KUBE_APISERVER"], shutil.which("etcd")
    assert etcd, "etcd is not there (Debian: etcd-server)"
    with tempfile.TemporaryDirectory() as place:
        cluster = Cluster(Path(server), Path(etcd), Path(place)).start()
        try:
            version = "1." + cluster.ask("GET", "/version")["minor"].rstrip("+")
            cluster.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
            apps, core = "/apis/apps/v1/namespaces/shop", "/api/v1/namespaces/shop"
            made = cluster.ask("POST", f"{apps}/deployments", DEPLOYMENT)["metadata"]["creationTimestamp"]
            cluster.ask("POST", f"{core}/services", SERVICE)
            cluster.ask("POST", f"{core}/events", CORE)
            objects = [cluster.ask("GET", f"{apps}/deployments/checkout"), cluster.ask("GET", f"{core}/services/pay")]
            deploy = {
                "type": "change", "service": "checkout", "kind": "deploy", "version_to": "checkout:4521",
                "reference": "pool 50", "environment": "shop", "at": made.replace("Z", ".000000000Z"),
            }  # fmt: skip
            edge = {"type": "edge", "source": "kubernetes", "caller": "default/service/pay"}
            keep("list", version, {"apiVersion": "v1", "kind": "List", "items": objects}, [deploy, edge])
            keep("watch.event", version, first_of_watch(cluster.port, f"{core}/events", ADMIN), [])
            events = "/apis/events.k8s.io/v1/namespaces/shop/events"
            cluster.ask("POST", events, NEW)
            keep("events.list", version, cluster.ask("GET", events), [])
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
