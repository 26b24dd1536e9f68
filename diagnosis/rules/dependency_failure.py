"""Dependency failure: a service fails only where it calls one that fails too; the callee is meant, not the caller."""

from diagnosis._contract_rules import Said, Scene
from diagnosis.rules._look import certainty, of_kind

_OWN = ("template_vanished", "template_new")


class DependencyFailure:
    kind = "dependency_failure"
    family = "dependency"
    about = "a service suffers from one that it calls"

    def judge(self, scene: Scene) -> list[Said]:
        out = []
        for service in scene.services:
            mine = of_kind(scene, service, "error_ratio")
            if not mine or of_kind(scene, service, *_OWN):
                continue
            failing = [
                (errors[0].p_value, callee)
                for callee in scene.callees(service)
                if callee != service and (errors := of_kind(scene, callee, "error_ratio"))
            ]
            worse = [callee for p, callee in sorted(failing) if p <= mine[0].p_value]
            if worse:
                text = f"errors of {service} are no rarer than those of {worse[0]}, which it calls"
                out.append(Said(service, -0.2 - 0.3 * certainty(mine), text, mine[0]))
        return out


PLUGIN = DependencyFailure
