"""Noisy neighbour: the machine is busy, but not by this service; another one on it is."""

from diagnosis._contract_rules import Said, Scene
from diagnosis.rules._look import certainty, metrics, of_kind

_NODE = ("node_cpu", "node_memory", "node_disk", "steal", "throttl")
_OWN = ("cpu",)


class NoisyNeighbour:
    kind = "noisy_neighbour"
    family = "cpu"
    about = "a service slows down because another one uses their machine"

    def judge(self, scene: Scene) -> list[Said]:
        busy = {s: found for s in scene.services if (found := metrics(scene, s, _NODE))}
        using = {
            s: own for s in busy
            if (own := [a for a in metrics(scene, s, _OWN) if "node_" not in a.name and "steal" not in a.name])
        }  # fmt: skip
        if len(busy) < 2 or len(using) != 1:
            return []
        ((guilty, own),) = using.items()
        out = [Said(guilty, 0.3 + 0.4 * certainty(own), f"{guilty} uses the machine that others share", own[0])]
        for service, found in sorted(busy.items()):
            if service != guilty and of_kind(scene, service, "latency"):
                text = f"the machine of {service} is busy, {service} itself is not"
                out.append(Said(service, -0.3, text, found[0]))
        return out


PLUGIN = NoisyNeighbour
