"""Saturation: a resource of the service is used up and its own work takes longer."""

from diagnosis._contract_rules import Said, Scene
from diagnosis.rules._look import STRONG_P, certainty, metrics, of_kind

_USED = ("cpu", "disk", "io_wait", "throttl", "file_descriptors", "queue")


class Saturation:
    kind = "saturation"
    family = "cpu"
    about = "a resource is used up and work takes longer"

    def judge(self, scene: Scene) -> list[Said]:
        out = []
        for service in scene.services:
            used = [a for a in metrics(scene, service, _USED) if a.p_value < STRONG_P and "node_" not in a.name]
            slow = of_kind(scene, service, "latency") or metrics(scene, service, ("latency", "duration"))
            if used and slow:
                text = f"{used[0].name} of {service} is high and its work takes longer"
                out.append(Said(service, 0.3 + 0.4 * certainty(used), text, used[0]))
        return out


PLUGIN = Saturation
