"""Telemetry failure: a service falls silent in all it logs at once while its callers still get answers."""

from diagnosis._contract_rules import Said, Scene
from diagnosis.rules._look import of_kind

LEAST_SILENT = 3
LOW = 0.5


class TelemetryFailure:
    kind = "telemetry_failure"
    family = "telemetry"
    about = "what a service tells of itself is missing, not its service"

    def judge(self, scene: Scene) -> list[Said]:
        out = []
        for service in scene.services:
            silent = [a for a in of_kind(scene, service, "template_vanished") if (a.observed or 0) == 0]
            gone = [a for a in scene.anomalies.get(service, ()) if a.completeness < LOW]
            felt = of_kind(scene, service, "error_ratio", "latency", "edge_gap")
            callers = [c for c in scene.callers(service) if of_kind(scene, c, "error_ratio")]
            if (len(silent) >= LEAST_SILENT or gone) and not felt and not callers:
                text = f"{service} tells nothing of itself, but nobody who calls it suffers"
                out.append(Said(service, -0.5, text, (gone or silent)[0]))
        return out


PLUGIN = TelemetryFailure
