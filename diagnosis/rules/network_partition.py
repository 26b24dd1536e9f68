"""Network partition: calls of a service lose time or never arrive on nearly all ways while it works as ever.

It also speaks *against* those that only answer such calls: to restart a healthy instance cures no network.
"""

from diagnosis._contract_rules import Said, Scene
from diagnosis.rules._look import calls_that_lost_time, certainty, lines, lost_calls, of_kind

_TEXT = ("no route to host", "connection timed out", "network is unreachable", "connection reset", "i/o timeout")
LEAST_SHARE = 0.5


class NetworkPartition:
    kind = "network_partition"
    family = "network"
    about = "a service cannot be reached, or reaches nobody, though it is well"

    def judge(self, scene: Scene) -> list[Said]:
        shares: dict[str, tuple[float, set[str]]] = {}
        for service in scene.services:
            lost = calls_that_lost_time(scene, service) | {a.labels["caller"] for a in lost_calls(scene, service)}
            every = set(scene.callers(service)) | set(scene.callees(service)) | lost
            if len(lost) >= 2:
                shares[service] = len(lost) / len(every), lost
        cut = {service: found for service, found in shares.items() if found[0] >= LEAST_SHARE}
        out = []
        for service, (share, lost) in sorted(cut.items()):
            if of_kind(scene, service, "template_vanished") or lines(scene, service, ("outofmemory",)):
                continue
            said = lines(scene, service, _TEXT)
            gaps = [a for a in scene.anomalies[service] if a.kind == "edge_gap"] or lost_calls(scene, service)
            strength = 0.4 * share + 0.3 * certainty(gaps) + (0.2 if said else 0.0)
            out.append(
                Said(
                    service,
                    strength,
                    f"calls between {service} and {len(lost)} others lose time or never arrive",
                    gaps[0],
                )
            )
            for other in sorted(lost - set(cut)):
                if other in scene.services and not _is_ill(scene, other):
                    text = f"{other} is well; only its calls with {service} lose time"
                    out.append(Said(other, -0.4, text, gaps[0]))
        return out


def _is_ill(scene: Scene, service: str) -> bool:
    return bool(of_kind(scene, service, "error_ratio", "latency", "template_new", "template_vanished", "metric"))


PLUGIN = NetworkPartition
