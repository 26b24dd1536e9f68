"""From the evidence of a watch to records: anomalies that begin, are amended or withdrawn, and verdicts on changes."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from detectors._canary import LOOKS_S, CanaryRule, judge
from detectors._rates import DOWN, LEAST, UP, Expectation, log_ratio, p_of, p_of_one
from detectors._watch_change import MINUTE_NS, Alarm, Rate, Watch
from detectors._watch_rows import SLOW, Rows
from schemas import (
    Anomaly,
    AnomalyKind,
    ChangeFinding,
    ChangeVerdict,
    Entity,
    EvidencePointer,
    IntentOutcome,
    Judgement,
    canonical,
    record_id,
    sha256,
)  # fmt: skip
from schemas.core import NS

DETECTOR = "change_watch@1"
AMENDED = 3.0
"""Orders of magnitude that p must move to be said again."""
MOST_ORDERS = 16.0
EXCUSE = 1.5
"""Load or cohort beyond this multiple is named as what explains a finding that is withdrawn."""
TELLING = 20.0
"""Expected events from which a rate can be shown not to be worse; rarer ones never could be."""
SHOWN, SHOWN_MINUTES = math.log(0.05), 15
"""Evidence twenty to one against half as many again and more, and not at once: what breaks may break slowly."""
INTENT_P = 0.01
MOST_FINDINGS = 50
State = Literal["watching", "ended", "superseded"]


def assess(
    watch: Watch, rows: Rows, at_ns: int, state: State, p: float, withdraw_p: float, *, is_look: bool, always: bool
) -> Iterator[Anomaly | ChangeVerdict]:
    """What is to be said at this time; a verdict only at a look, or if a finding begins, changes or ends.

    p, withdraw_p: of all rates of the change together, from which a finding begins and at which it is taken back.
    """
    rates, findings, said = watch.rates(rows), [], []
    for rate in rates:
        worse = min(1.0, len(rates) * p_of_one(rate.log_up))
        better = min(1.0, len(rates) * p_of_one(rate.log_down))
        is_worse = worse < p and rate.k >= LEAST
        alarm, news = _alarm(watch, f"{rows.ids[rate.row]:016x}", worse, is_worse, worse > withdraw_p)
        if alarm is not None or better < p:
            findings.append(_finding(watch, rows, rate, worse, better, p, alarm))
        if alarm is not None and news:
            said.append(_anomaly(watch, rows, rate.row, alarm, at_ns, rate.k, rate.mean, rate.requests))
    for finding, row, alarm, news in _canaries(watch, rows, is_look):
        findings.append(finding)
        if alarm is not None and news:
            numbers = finding.observed, finding.expected or 0.0, finding.requests
            said.append(_anomaly(watch, rows, row, alarm, at_ns, *numbers))
    yield from said
    if said or is_look or always:
        watch.revision += 1
        yield _verdict(watch, rows, rates, findings, at_ns, state)


def _alarm(watch: Watch, key: str, p: float, begins: bool, ends: bool) -> tuple[Alarm | None, bool]:
    """The alarm of a rate after this look, if it ever had one, and whether that is news."""
    alarm = watch.alarms.get(key)
    if alarm is None or not alarm.fires:
        if not begins:
            return alarm, False
        identity = record_id("anomaly", DETECTOR, key, watch.change.id)
        revision = alarm.revision + 1 if alarm else 0
    elif ends or abs(_orders(p) - _orders(alarm.p)) >= AMENDED:
        identity, revision = alarm.anomaly, alarm.revision + 1
    else:
        return alarm, False
    watch.alarms[key] = Alarm(identity, revision, p, fires=not ends)
    return watch.alarms[key], True


def _orders(p: float) -> float:
    """Orders of magnitude below 1, as far as they say more."""
    return min(-math.log10(max(p, 1e-300)), MOST_ORDERS)


def _finding(
    watch: Watch, rows: Rows, rate: Rate, worse: float, better: float, p: float, alarm: Alarm | None
) -> ChangeFinding:
    *_, name, endpoint, status, version = rows.keys[rate.row]
    load = watch.load(rows)
    fires = alarm is not None and alarm.fires
    verdict: Judgement = "worse" if fires else "better" if better < p else "inconclusive"
    reason = "CHANGED"
    if alarm is not None and not fires:
        explained = rate.new_load > 0.3 or (load or 1.0) >= EXCUSE
        reason = "COHORT_MOVED" if rate.cohort >= EXCUSE else "LOAD_EXPLAINS" if explained else "FADED"
    return ChangeFinding(
        about="latency" if name == SLOW else "error_ratio", endpoint=endpoint, status=status, version=version,
        verdict=verdict, alarm="firing" if fires else "withdrawn" if alarm else "none", reason=reason,
        p_value=_round(better if verdict == "better" else worse), observed=_round(rate.k), expected=_round(rate.mean),
        requests=rate.requests, load=None if load is None else _round(load), cohort=_round(rate.cohort),
        anomaly=alarm.anomaly if alarm else "",
    )  # fmt: skip


def _canaries(watch: Watch, rows: Rows, is_look: bool) -> Iterator[tuple[ChangeFinding, int, Alarm | None, bool]]:
    """Latency of the new version beside the old one, at fixed ages only: the looks share the error."""
    version, tests = watch.change.version_to or "", len(watch.buckets) * len(LOOKS_S)
    of = watch.change.tenant, watch.change.service
    for endpoint, sides in sorted(watch.buckets.items()):
        row = rows.index.get((*of, SLOW, endpoint, "", version))
        if row is None:
            continue
        judged, key = judge(sides["old"], sides["new"], tests, CanaryRule()), f"canary {rows.ids[row]:016x}"
        shared = min(1.0, judged.p * tests)
        may = is_look and judged.verdict != "inconclusive"
        alarm, news = watch.alarms.get(key), False
        if may:
            alarm, news = _alarm(watch, key, shared, judged.verdict == "worse", judged.verdict == "not_worse")
        fires = alarm is not None and alarm.fires
        yield ChangeFinding(
            about="canary", endpoint=endpoint, version=version, verdict="worse" if fires else _calm(judged.verdict),
            alarm="firing" if fires else "withdrawn" if alarm else "none", reason=judged.reason, p_value=_round(shared),
            observed=_round(judged.canary), expected=_round(judged.baseline) if judged.n[0] else None,
            requests=judged.n[1], anomaly=alarm.anomaly if alarm else "",
        ), row, alarm, news  # fmt: skip


def _calm(verdict: Judgement) -> Judgement:
    """Between the looks a canary that is worse has not been called so yet."""
    return "inconclusive" if verdict == "worse" else verdict


def _verdict(
    watch: Watch, rows: Rows, rates: Sequence[Rate], findings: list[ChangeFinding], at_ns: int, state: State
) -> ChangeVerdict:
    change = watch.change
    telling = [rate for rate in rates if rate.mean >= TELLING]
    verdict: Judgement = "inconclusive"
    if any(finding.verdict == "worse" for finding in findings):
        verdict = "worse"
    elif any(finding.verdict == "better" for finding in findings):
        verdict = "better"
    elif telling and watch.minutes >= SHOWN_MINUTES and all(rate.log_up < SHOWN for rate in telling):
        verdict = "not_worse"
    own = rows.owner.get((change.tenant, change.service), -1)
    served = float(watch.served[own]) if 0 <= own < len(watch.served) else 0.0
    order = sorted(findings, key=lambda f: (f.p_value, f.endpoint, f.status, f.about))
    return ChangeVerdict(
        id=record_id("change-verdict", change.id, watch.revision), change_id=change.id, tenant=change.tenant,
        service=change.service, title=change.title, revision=watch.revision, at_ns=change.at_ns, as_of_ns=at_ns,
        state=state, verdict=verdict, requests=int(served), findings=order[:MOST_FINDINGS],
        intent=_intent(watch, rows, rates, at_ns),
    )  # fmt: skip


def _intent(watch: Watch, rows: Rows, rates: Sequence[Rate], at_ns: int) -> IntentOutcome | None:
    """Whether what the change is for came true: all rates that it names, together."""
    intent = watch.change.intent
    if intent is None:
        return None
    mine = []
    for rate in rates:
        *_, name, endpoint, status, _ = rows.keys[rate.row]
        is_kind = name == SLOW if intent.metric == "latency" else name != SLOW and status == intent.status
        if is_kind and intent.endpoint in (None, endpoint):
            mine.append(rate)
    k, mean = math.fsum(rate.k for rate in mine), math.fsum(rate.mean for rate in mine)
    p = [1.0, 1.0]
    if mine:
        weight = np.array([rate.mean for rate in mine])
        doubt = np.array([float(np.average([getattr(rate, name) for rate in mine], weights=weight)) for name in DOUBTS])
        expected = Expectation(np.array([mean]), doubt[:1], doubt[1:])
        grids = (DOWN, UP) if intent.direction == "down" else (UP, DOWN)
        p = [float(p_of(log_ratio(np.array([k]), expected, grid))[0]) for grid in grids]
    is_due = at_ns >= intent.by_ns
    state: Literal["pending", "met", "contradicted", "not_shown"] = "not_shown" if is_due else "pending"
    if min(p) < INTENT_P:
        state = "met" if p[0] < INTENT_P else "contradicted"
    return IntentOutcome(state=state, p_value=_round(min(p)), observed=_round(k), expected=_round(mean))


DOUBTS = ("variance", "clump")


def _anomaly(
    watch: Watch, rows: Rows, row: int, alarm: Alarm, at_ns: int, observed: float, expected: float, n: int
) -> Anomaly:
    tenant, service, name, endpoint, status, version = rows.keys[row]
    kind: AnomalyKind = "latency" if name == SLOW else "error_ratio"
    series, at_ns = f"{rows.ids[row]:016x}", at_ns // MINUTE_NS * MINUTE_NS
    start, numbers = at_ns - 60 * NS, [_round(observed), _round(expected)]
    seen = [series, watch.change.id, start, at_ns, *numbers]
    labels = {"change": watch.change.id, "endpoint": endpoint, "status": status, "version": version}
    return Anomaly(
        id=alarm.anomaly, tenant=tenant, service=service, series=series, name=name, signal="traces", kind=kind,
        entity_id=Entity(tenant=tenant, service=service, name=service).entity_id,
        labels={key: value for key, value in sorted(labels.items()) if value}, detector=DETECTOR, start_ns=start,
        end_ns=at_ns, observed=numbers[0], expected=numbers[1], residual=_round(observed - expected),
        unit="{request}", p_value=max(_round(alarm.p), 1e-300), direction=1, count=n, revision=alarm.revision,
        status="withdrawn" if not alarm.fires else "amended" if alarm.revision else "firing",
        pointer=EvidencePointer(
            signal="traces", subject=series, t_min_ns=start, t_max_ns=at_ns, sha256=sha256(canonical(seen))
        ),
    )  # fmt: skip


def _round(value: float) -> float:
    return float(f"{value:.12g}") if math.isfinite(value) else 0.0
