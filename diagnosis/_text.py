"""Sentences about evidence, for people: what was seen, where, how improbable."""

from schemas import Anomaly

_VERBS = {"template_new": "is new", "template_burst": "came far more often", "template_vanished": "stopped or thinned"}
LONGEST = 120


def describe(anomaly: Anomaly) -> str:
    """One sentence without a full stop; telemetry text is quoted and cut."""
    seen = f"{_number(anomaly.observed)} seen, {_number(anomaly.expected)} expected"
    odds = f"p = {anomaly.p_value:.1g}"
    if anomaly.kind in _VERBS:
        level = anomaly.labels.get("severity", "")
        what = f"{level} lines" if level not in ("", "UNSET") else "lines"
        template = _cut(": ".join(anomaly.labels[k] for k in ("template", "text") if anomaly.labels.get(k)))
        return f"{what} `{template}` of {anomaly.service}: {_VERBS[anomaly.kind]} ({seen}, {odds})"
    if anomaly.kind == "edge_gap":
        ends = f"{anomaly.labels.get('caller', '?')} to {anomaly.labels.get('callee', anomaly.service)}"
        return f"calls from {ends} lose time on the way ({seen} s, {odds})"
    if anomaly.kind == "error_ratio":
        parts = [anomaly.labels[k] for k in ("status", "version") if anomaly.labels.get(k)]
        where = _cut(anomaly.labels.get("endpoint", "requests"))
        return f"errors {' '.join(parts)} of {anomaly.service} on {where} ({seen}, {odds})".replace("  ", " ")
    where = f" on {_cut(anomaly.labels['endpoint'])}" if anomaly.labels.get("endpoint") else ""
    way = {1: "rose", -1: "fell"}.get(anomaly.direction, "moved")
    unit = "" if anomaly.unit in ("", "1") else f" {anomaly.unit}"
    return f"{anomaly.name} of {anomaly.service}{where} {way} ({seen}{unit}, {odds})"


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4g}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
