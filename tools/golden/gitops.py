"""What Argo CD, CDEvents and Flux send: `python -m tools.golden.gitops` from the repository's root. It needs Go, Java
and Maven, and minutes once.

Argo CD's notification engine runs the very ConfigMap of docs/connect/argocd.md over Applications in the form of its
API; a recorder of Flux posts events of a Kustomization. Bodies as they came, with versions, in `tests/golden/webhooks`;
what each must become stands there already and is kept. The engine and the recorder are those libraries of Argo CD and
Flux that put a body together; the controllers around them need a cluster.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OUT, HERE, BUILT = ROOT / "tests/golden/webhooks", ROOT / "tools/golden", ROOT / ".servers"
KEPT = ("content-type", "authorization", "user-agent")
ARGOCD = "github.com/argoproj/notifications-engine@v0.5.0"
FLUX = "github.com/fluxcd/pkg/runtime@v0.110.3"
REVISION = "f2ca1bb6c7e907d06dafe4687e579fce76b37e4e"

IMAGES = ["registry.example/shop/checkout:4521"]
SYNCS: dict[str, tuple[str, str, dict[str, Any], list[str]]] = {
    "synced": ("Succeeded", "Healthy", {"username": "alice"}, IMAGES),
    "failed": ("Failed", "Degraded", {"username": "alice"}, IMAGES),
    "automated": ("Succeeded", "Healthy", {"automated": True}, []),
}
"""Phase, health, who started it, images."""


def binary(name: str, module: str) -> Path:
    """The program of `tools/golden/NAME`, built with this module. Raises CalledProcessError."""
    found = BUILT / f"{name}-{module.rpartition('@')[2]}"
    if not found.exists():
        build = BUILT / f"{name}.build"
        shutil.rmtree(build, ignore_errors=True)
        build.mkdir(parents=True)
        shutil.copy(HERE / name / "main.go", build)
        for command in (["go", "mod", "init", "golden"], ["go", "get", module], ["go", "mod", "tidy"],
                        ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(found), "."]):  # fmt: skip
            subprocess.run(command, cwd=build, check=True, capture_output=True, timeout=3600)
        shutil.rmtree(build)
    return found


def sent_by(send: Callable[[str], object]) -> list[tuple[str, dict[str, str], str]]:
    """Path, headers and body of each request that was made; `send` is told where to send."""
    got: list[tuple[str, dict[str, str], str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            told = [(name.lower(), value) for name, value in self.headers.items()]
            got.append((self.path, {k: v for k, v in told if k in KEPT or k.startswith("ce-")}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    send(url)
    server.shutdown()
    server.server_close()
    return got


def application(phase: str, health: str, started_by: dict[str, Any], images: list[str]) -> dict[str, Any]:
    """An Application as Argo CD's API shows it after a sync, as far as a template may look."""
    summary = {"images": images} if images else {}
    source = {"repoURL": "https://git.example/shop/deploy.git", "path": "checkout", "targetRevision": "HEAD"}
    return {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "checkout", "namespace": "argocd", "labels": {"team": "shop"}},
        "spec": {
            "project": "shop", "source": source,
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
        },
        "status": {
            "health": {"status": health}, "sync": {"status": "Synced", "revision": REVISION},
            "summary": summary,
            "operationState": {
                "phase": phase, "startedAt": "2026-03-02T11:00:01Z", "finishedAt": "2026-03-02T11:00:04Z",
                "message": "successfully synced" if phase == "Succeeded" else 'one or more "objects" failed',
                "operation": {"initiatedBy": started_by, "sync": {"revision": REVISION}},
                "syncResult": {"revision": REVISION, "source": source},
            },
        },
    }  # fmt: skip


def argocd(place: Path) -> list[tuple[str, dict[str, str], str]]:
    """What the ConfigMap of the page makes of each sync."""
    page = (ROOT / "docs/connect/argocd.md").read_text()
    found = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert found, "the page has no ConfigMap"
    applications = []
    for name, told in SYNCS.items():
        path = place / f"{name}.json"
        path.write_text(json.dumps(application(*told)))
        applications.append(str(path))
    config, text = place / "config.yaml", found[1]

    def send(url: str) -> None:
        config.write_text(text.replace("http://tidegate.tidegate.svc:4318", url))
        subprocess.run([str(binary("argocd", ARGOCD)), str(config), *applications], check=True, timeout=60)

    return sent_by(send)


def flux() -> list[tuple[str, dict[str, str], str]]:
    """An applied revision, one that failed, and one on its way."""
    return sent_by(lambda url: subprocess.check_call([str(binary("flux", FLUX)), url], timeout=60))


def cdevents() -> list[tuple[str, dict[str, str], str]]:
    """Three events of the SDK for Java, each as a structured and as a binary CloudEvent. Needs Java 17 and Maven."""
    place = BUILT / "cdevents-0.3.1"
    if not place.exists():
        shutil.copytree(HERE / "cdevents", place.with_name("cdevents.build"), dirs_exist_ok=True)
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
        subprocess.run(command, cwd=place.with_name("cdevents.build"), check=True, timeout=600)
        place.with_name("cdevents.build").rename(place)
    command = ["java", "-cp", "jars/*", "Main.java"]
    return sent_by(lambda url: subprocess.run([*command, url], cwd=place, check=True, timeout=100, capture_output=True))


def keep(name: str, kind: str, told: str, headers: dict[str, str], body: str) -> None:
    """Beside what the case expects, where that stands there already."""
    path = OUT / f"{name}.json"
    expect = json.loads(path.read_text())["expect"] if path.exists() else []
    case = {"from": told, "kind": kind, "headers": headers, "body": body, "expect": expect}
    path.write_text(json.dumps(case, indent=1) + "\n")
    print(f"{name}: {len(body)} bytes kept")


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        told = (
            f"Argo CD's {ARGOCD} with the ConfigMap of docs/connect/argocd.md, as it posted it: tools/golden/gitops.py"
        )
        for name, (path, _, body) in zip(SYNCS, argocd(Path(place)), strict=True):
            assert path == "/v1/argocd", path
            keep(f"argocd.sent.{name}", "argocd", told, {}, body)
    told = (
        "CDEvents' SDK for Java 0.3.1 and CloudEvents' 2.3.0, as they posted it: tools/golden/gitops.py; "
        "ids and times are replaced"
    )
    kinds = [f"{name}.{mode}" for name in ("deployed", "rolledback", "incident") for mode in ("structured", "binary")]
    for name, (_, headers, body) in zip(kinds, cdevents(), strict=True):
        body = re.sub(r'"(time|timestamp)":"[^"]*"', r'"\1":"2026-03-02T14:27:05Z"', body)
        body = re.sub(r'"id":"[0-9a-f-]{36}"', '"id":"271069a8-fc18-44f1-b38f-9d70a1695819"', body)
        said = {k: v for k, v in headers.items() if k.startswith("ce-") and k not in ("ce-id", "ce-time")}
        keep(f"cdevents.sent.{name}", "cdevents", told, said, body)
    told = f"Flux's {FLUX}, events.Recorder, as it posted it: tools/golden/gitops.py; host and time are replaced"
    names = ("succeeded", "failed", "progressing")
    for name, (_, _, body) in zip(names, flux(), strict=True):
        body = re.sub(r'"timestamp":"[^"]*"', '"timestamp":"2026-03-02T07:51:11Z"', body)
        body = re.sub(
            r'"reportingInstance":"[^"]*"', '"reportingInstance":"kustomize-controller-7c7b47f5f-8bhrp"', body
        )
        keep(f"flux.sent.{name}", "flux", told, {}, body)


if __name__ == "__main__":
    main()
