"""What the diagnose stage remembers between events, and its snapshots."""

import json
from dataclasses import dataclass, field

import schemas as sc
from diagnosis import _inquire
from diagnosis._correlate import Group
from diagnosis._correlate_kept import group_in, group_out, out
from diagnosis._errors import StateInvalid
from diagnosis._evidence import service_of
from diagnosis._inquire import Investigation
from diagnosis._recurring import People
from diagnosis._related import Topology
from diagnosis._unheard import Voice

FORMAT = 2


@dataclass(slots=True)
class DiagnoseState:
    """groups: by (tenant, domain). Reference data is bounded; what did not fit or could not be read is counted."""

    groups: dict[tuple[str, str], Group] = field(default_factory=dict)
    edges: dict[str, sc.TopologyEdge] = field(default_factory=dict)
    changes: dict[str, sc.Change] = field(default_factory=dict)
    silences: dict[str, sc.Silence] = field(default_factory=dict)
    people: dict[str, People] = field(default_factory=dict)
    """By tenant: when people took something up, as alerts of other systems say."""
    investigation: Investigation = field(default_factory=Investigation)
    counts: dict[str, int] = field(default_factory=dict)
    voices: dict[str, dict[str, Voice]] = field(default_factory=dict)
    """By tenant and service: who fell silent, and who was heard again."""
    topology: dict[str, Topology] = field(default_factory=dict)
    """By tenant, made of the edges."""
    quiet_ns: int = 0
    """Nothing is due before; remembered work, 0 where it has to be looked up."""

    def learn(self, edge: sc.TopologyEdge) -> None:
        known = self.topology.setdefault(edge.tenant, Topology())
        known.add(service_of(edge.caller), service_of(edge.callee))

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def dumped(state: DiagnoseState) -> bytes:
    """A snapshot, as JSON."""
    document = {
        "format": FORMAT,
        "groups": [{"key": list(key), **group_out(group)} for key, group in sorted(state.groups.items())],
        "edges": [out(edge) for _, edge in sorted(state.edges.items())],
        "changes": [out(change) for _, change in sorted(state.changes.items())],
        "silences": [out(silence) for _, silence in sorted(state.silences.items())],
        "people": state.people,
        "voices": {
            tenant: {name: [voice.silent_ns, voice.heard_ns, voice.hushed] for name, voice in sorted(voices.items())}
            for tenant, voices in sorted(state.voices.items())
        },
        "counts": state.counts,
        "investigation": _inquire.dumped(state.investigation),
    }
    return json.dumps(document, sort_keys=True).encode()


def loaded(data: bytes) -> DiagnoseState:
    """Raises StateInvalid if the bytes are not a snapshot of this format."""
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise StateInvalid(f"the snapshot has format {document['format']}, this code reads {FORMAT}")
        state = DiagnoseState(counts=document["counts"])
        state.edges = {e["id"]: sc.TopologyEdge.model_validate(e) for e in document["edges"]}
        for edge in state.edges.values():
            state.learn(edge)
        state.changes = {c["id"]: sc.Change.model_validate(c) for c in document["changes"]}
        state.silences = {s["id"]: sc.Silence.model_validate(s) for s in document.get("silences", [])}
        state.people = document.get("people", {})
        for tenant, voices in document.get("voices", {}).items():
            state.voices[tenant] = {service: Voice(*said) for service, said in voices.items()}
        state.investigation = _inquire.loaded(document.get("investigation"))
        for item in document["groups"]:
            state.groups[item["key"][0], item["key"][1]] = group_in(item)
    except (ValueError, KeyError, TypeError) as error:
        raise StateInvalid(f"the snapshot cannot be read: {error}", todo="Rebuild the state from the topics") from error
    return state
