"""Argo CD: was the suspect synced to another revision shortly before the onset?

Reads the history of the application that is called as the service is. Confirms a change of configuration or code;
an old last sync eliminates both.
Source: Argo CD API, `GET /api/v1/applications/{name}`, `status.history[] {deployedAt, revision}`.
"""

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from diagnosis._contract import Answer, Context, Onset, Parameters, QueryFailed, Speaks, Suspect
from diagnosis.queries._numbers import at, items, shown, time_ns
from schemas.core import NS

FADES_S = 600.0  # as for changes that were told; a choice, not tuned
UNREADABLE = "ARGOCD_UNREADABLE"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,251}[a-z0-9])?")


class ArgoCd:
    """As strong as the last sync to another revision is near before the onset."""

    kind = "argocd_history"
    subsystem = "argocd"
    version = "1"
    about = "that a service was synced to another revision shortly before the onset"
    evidence: Mapping[str, Speaks] = {"asked_sync": Speaks("change", "was synced to another revision before the onset")}
    cost = 1.0
    timeout_s = 10.0
    parameters: type[Parameters] = Onset

    def ask(self, suspect: Suspect) -> Onset | None:
        return Onset.of(suspect)

    async def run(self, parameters: Parameters, tenant: str, context: Context) -> Answer:
        """`now` is how many seconds before the onset the sync was. Raises QueryFailed."""
        reader = context.argocd
        if reader is None or not isinstance(parameters, Onset):
            raise QueryFailed("ARGOCD_NOT_SET_UP", "no address of an Argo CD server is set")
        if not _NAME.fullmatch(parameters.service):
            return Answer(cost=0.0)
        document: Any = await reader.get(f"/api/v1/applications/{parameters.service}", {})
        if not isinstance(at(document, "status"), dict):
            raise QueryFailed(UNREADABLE, "the answer has no status of an application")
        synced: list[tuple[int, str]] = []
        for entry in items(document, "status", "history"):
            at_ns, revision = time_ns(at(entry, "deployedAt")), at(entry, "revision")
            if at_ns is not None and isinstance(revision, str) and at_ns <= parameters.onset_ns:
                synced.append((at_ns, revision))
        synced.sort()
        changed = [t for (_, old), (t, new) in pairwise(synced) if old != new]
        strength, ago = 0.0, None
        if changed:
            ago = (parameters.onset_ns - changed[-1]) / NS
            strength = math.exp(-ago / FADES_S)
        strength = strength if strength > 1e-6 else 0.0
        finding = shown("asked_sync", parameters.service, strength, ago, len(synced), parameters.onset_ns,
                        parameters.end_ns)  # fmt: skip
        return Answer(findings=[finding], cost=1.0)


PLUGIN = ArgoCd
