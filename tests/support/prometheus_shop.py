"""Series of a shop of five services in which the errors of one rise for 25 minutes, and two alerts, one of them good.

Levels are functions of the second, so that any server can be given them: a test double, or a real Prometheus as a file.
"""

import math
from collections.abc import Iterator, Mapping

from support.prometheus_api import Level

START, HOURS = 1_772_409_600, 8  # 2026-03-02T00:00:00Z
FAULT, HEALED = START + 6 * 3600, START + 6 * 3600 + 1500
SERVICES = ("frontend", "checkout", "cart", "search", "payment")
KINDS = {"http_requests_total": "counter", "http_errors_total": "counter", "queue": "gauge", "alien_info": "gauge"}


def noise(seed: int, t: float) -> float:
    return math.sin(seed * 12.9898 + t * 78.233) * 0.5


def counter(per_s: float, seed: int, extra: float = 0.0) -> Level:
    def level(t: float) -> float:
        return per_s * (t - START) + noise(seed, t) * per_s * 5 + extra * max(0.0, min(t, HEALED) - FAULT)

    return level


def series() -> list[tuple[Mapping[str, str], Level]]:
    found: list[tuple[Mapping[str, str], Level]] = []
    for seed, name in enumerate(SERVICES):
        labels = {"job": f"shop/{name}", "instance": f"10.0.0.{seed}:8080"}
        is_ill = name == "checkout"
        found += [
            ({"__name__": "http_requests_total", **labels}, counter(20.0, seed)),
            ({"__name__": "http_errors_total", **labels}, counter(0.2, seed + 50, 8.0 if is_ill else 0.0)),
            ({"__name__": "queue", **labels}, lambda t, s=seed: 10 + noise(s, t)),
            ({"__name__": "alien_info", **labels}, lambda t: 1.0),
        ]
    fires = lambda first, last: lambda t: 1.0 if first <= t < last else None
    alert = {"__name__": "ALERTS", "alertstate": "firing", "severity": "critical"}
    found.append(({**alert, "alertname": "HighErrors", "job": "shop/checkout"}, fires(FAULT + 600, HEALED + 300)))
    found.append(({**alert, "alertname": "DiskFull", "job": "shop/cart"}, fires(START + 3600, START + 5400)))
    return found


def open_metrics(step_s: int = 60) -> Iterator[str]:
    """The whole as OpenMetrics text, metric by metric; counters have their samples under `NAME_total`."""
    by_name: dict[str, list[tuple[Mapping[str, str], Level]]] = {}
    for labels, level in series():
        by_name.setdefault(labels["__name__"], []).append((labels, level))
    for name, rows in by_name.items():
        yield f"# TYPE {name.removesuffix('_total')} {'counter' if name.endswith('_total') else 'gauge'}"
        for labels, level in rows:
            told = ",".join(f'{k}="{v}"' for k, v in labels.items() if k != "__name__")
            for t in range(START, START + HOURS * 3600 + 1, step_s):
                if (value := level(t)) is not None:
                    yield f"{name}{{{told}}} {value} {t}"
    yield "# EOF"
