"""Asks every hard rule about an incident, bounds what they say and words it as evidence."""

from collections.abc import Iterable, Mapping

from diagnosis._contract_rules import MOST, Judgement, Rule, Scene
from diagnosis._evidence import EvidenceTable
from diagnosis._kinds import ends_of
from schemas import Anomaly


def scene_of(table: EvidenceTable, anomalies: Iterable[Anomaly], calls: Iterable[tuple[str, str]]) -> Scene:
    """What rules see of an incident; the order of the anomalies does not matter."""
    by_service: dict[str, list[Anomaly]] = {}
    for anomaly in sorted(anomalies, key=lambda a: (a.p_value, a.id)):
        for end in dict.fromkeys((anomaly.service, *ends_of(anomaly))):
            by_service.setdefault(end, []).append(anomaly)
    return Scene(
        anomalies={service: tuple(found) for service, found in sorted(by_service.items())},
        calls=frozenset(calls),
        changes={table.candidates[i]: change for i, change in table.changes.items()},
        services=table.candidates,
        onset_ns=table.onset_ns,
        signs=table.signs,
    )


def judgements(rules: Mapping[str, Rule], scene: Scene) -> list[Judgement]:
    """What all rules say, in order of rule and service; of one rule and service the first word counts."""
    out: list[Judgement] = []
    for name, rule in sorted(rules.items()):
        seen: set[str] = set()
        for said in sorted(rule.judge(scene), key=lambda s: (s.service, -abs(s.strength), s.text)):
            if said.service in seen or said.strength == 0:
                continue
            seen.add(said.service)
            weight = float(f"{max(min(said.strength, 1.0), -1.0) * MOST:.12g}")
            pointer = said.because.pointer if said.because else None
            family = rule.family if weight > 0 else ""
            out.append(Judgement(name, said.service, family, weight, said.text, pointer))
    return out
