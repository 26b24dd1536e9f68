"""Bad deploy: a service that was deployed minutes ago fails itself, best of all with errors of the new version only."""

from diagnosis._contract_rules import Said, Scene
from diagnosis.rules._look import certainty, of_kind, seconds_before

RECENT_S = 900.0


class BadDeploy:
    kind = "bad_deploy"
    family = "change"
    about = "a service fails soon after it was deployed"

    def judge(self, scene: Scene) -> list[Said]:
        out = []
        for service, change in sorted(scene.changes.items()):
            before = seconds_before(scene, service)
            own = of_kind(scene, service, "error_ratio", "latency", "template_new", "template_vanished")
            if change.kind != "deploy" or before is None or before > RECENT_S:
                continue
            if not own:
                out.append(
                    Said(service, -0.3, f"{service} was deployed {before:.0f} s before and shows nothing itself")
                )
                continue
            of_new = [a for a in own if change.version_to and a.labels.get("version") == change.version_to]
            strength = 0.4 + 0.3 * certainty(own) + (0.3 if of_new else 0.0)
            where = f" in version {change.version_to} alone" if of_new else ""
            text = f"{service} fails{where}, {max(before, 0):.0f} s after it was deployed"
            out.append(Said(service, strength, text, (of_new or own)[0]))
        return out


PLUGIN = BadDeploy
