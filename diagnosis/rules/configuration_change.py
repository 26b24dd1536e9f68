"""Configuration change: a setting or flag of the service was changed, and it fails without a new version."""

from diagnosis._contract_rules import Said, Scene
from diagnosis.rules._look import certainty, of_kind, seconds_before

RECENT_S = 900.0


class ConfigurationChange:
    kind = "configuration_change"
    family = "change"
    about = "a service fails soon after its configuration or a flag was changed"

    def judge(self, scene: Scene) -> list[Said]:
        out = []
        for service, change in sorted(scene.changes.items()):
            before = seconds_before(scene, service)
            own = of_kind(scene, service, "error_ratio", "latency", "template_new", "template_burst", "metric")
            if change.kind not in ("config", "flag") or before is None or before > RECENT_S or not own:
                continue
            text = f"{service} behaves otherwise {max(before, 0):.0f} s after `{change.title}`"
            out.append(Said(service, 0.4 + 0.4 * certainty(own), text, own[0]))
        return out


PLUGIN = ConfigurationChange
