"""Traffic surge: everybody is busier because more is asked of them; who serves more is no culprit for being busy."""

from diagnosis._contract_rules import Said, Scene
from diagnosis.rules._look import metrics, of_kind

_ASKED = ("requests", "qps", "rps", "request_rate", "throughput")
LEAST_SERVICES = 3


class TrafficSurge:
    kind = "traffic_surge"
    family = "load"
    about = "more is asked of many services at once"

    def judge(self, scene: Scene) -> list[Said]:
        asked = {
            s: found for s in scene.services
            if (found := [*metrics(scene, s, _ASKED), *(a for a in of_kind(scene, s, "traffic") if a.direction > 0)])
        }  # fmt: skip
        if len(asked) < LEAST_SERVICES:
            return []
        out = []
        for service, found in sorted(asked.items()):
            if not of_kind(scene, service, "error_ratio", "template_new", "template_vanished"):
                text = f"{service} is busy because more is asked of it, as of {len(asked) - 1} others"
                out.append(Said(service, -0.3, text, found[0]))
        return out


PLUGIN = TrafficSurge
