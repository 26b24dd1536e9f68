"""One sample of each verb: a target, parameters that fit, and a state of the target in which it may be done."""

from typing import Any, NamedTuple


class Sample(NamedTuple):
    target: str
    parameters: dict[str, Any]
    state: dict[str, Any]


CHECKOUT = "default/service/checkout"
DEPLOYMENT = {"namespace": "shop", "deployment": "checkout"}
PODS = {"replicas": 4, "max_unavailable": 1, "is_rolling": False, "restart_id": None, "template": "5d9c"}
SAMPLES = {
    "gitops.revert": Sample(
        CHECKOUT, {"service": "checkout", "change": "chg-1", "from_version": "v42", "to_version": "v41"},
        {"version": "v42"},
    ),
    "notify.owner": Sample(
        CHECKOUT, {"service": "checkout", "incident": "i-1", "reason": "NO_RUNBOOK"}, {"is_told": None}
    ),
    "kubernetes.scale": Sample(CHECKOUT, {**DEPLOYMENT, "from_replicas": 4, "to_replicas": 6}, PODS),
    "kubernetes.restart": Sample(CHECKOUT, {**DEPLOYMENT, "restart_id": "i-1"}, PODS),
    "kubernetes.rollback": Sample(CHECKOUT, {**DEPLOYMENT, "from_hash": "5d9c", "to_hash": "7f6b"}, PODS),
    "kubernetes.run_job": Sample(
        CHECKOUT, {"namespace": "shop", "cronjob": "nightly-copy", "run_id": "i-1"},
        {"run_id": None, "is_running": False},
    ),
    "kubernetes.cordon": Sample("default/host/node-3", {"node": "node-3"}, {"is_schedulable": True}),
    "kubernetes.uncordon": Sample("default/host/node-3", {"node": "node-3"}, {"is_schedulable": False}),
    "traffic.shift": Sample(
        CHECKOUT,
        {"service": "checkout", "runtime_key": "canary.checkout", "from_percent": 25, "to_percent": 0},
        {"percent": 25},
    ),
    "postgres.pool_resize": Sample(
        "default/service/orders-db", {"role": "orders", "from_limit": 20, "to_limit": 24},
        {"connection_limit": 20, "used": 19, "max_connections": 100},
    ),
    "postgres.terminate_backend": Sample(
        "default/service/orders-db", {"pid": 4711, "backend_start": "2026-01-01T12:00:00.123456Z"},
        {"is_connected": True, "backend_type": "client backend", "is_superuser": False},
    ),
    "flag.off": Sample(CHECKOUT, {"service": "checkout", "flag": "new-cart"}, {"flag": "ENABLED"}),
    "flag.on": Sample(CHECKOUT, {"service": "checkout", "flag": "new-cart"}, {"flag": "DISABLED"}),
    "alert.silence": Sample(
        CHECKOUT, {"alertname": "HighErrors", "service": "checkout", "until_s": 1_790_003_600},
        {"until_s": 0, "now_s": 1_790_000_000},
    ),
    "alert.unsilence": Sample(
        CHECKOUT, {"alertname": "HighErrors", "service": "checkout", "until_s": 1_790_003_600},
        {"until_s": 1_790_003_600, "now_s": 1_790_000_000},
    ),
}  # fmt: skip
