"""Certificate or authentication failure: calls are refused before any work is done, and the logs say why."""

from diagnosis._contract_rules import Said, Scene
from diagnosis.rules._look import lines, of_kind

_CERTIFICATE = ("certificate", "x509", "tls handshake", "ssl handshake", "sslhandshake", "pkix")
_TOKEN = (
    "unauthorized",
    "authentication failed",
    "invalid token",
    "token expired",
    "access denied",
    "permission denied",
)
_REFUSED = ("401", "403", "495", "525", "526")


class CertificateFailure:
    kind = "certificate_failure"
    family = "authentication"
    about = "a certificate or credential is not accepted"

    def judge(self, scene: Scene) -> list[Said]:
        out = []
        for service in scene.services:
            said = lines(scene, service, _CERTIFICATE) or lines(scene, service, _TOKEN)
            refused = [a for a in of_kind(scene, service, "error_ratio") if a.labels.get("status") in _REFUSED]
            if said:
                text = f"{service} logs that a certificate or credential is not accepted"
                out.append(Said(service, 0.8 if refused else 0.6, text, said[0]))
            elif refused:
                text = f"{service} refuses with {refused[0].labels['status']}"
                out.append(Said(service, 0.4, text, refused[0]))
        return out


PLUGIN = CertificateFailure
