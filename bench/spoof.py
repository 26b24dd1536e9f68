"""Does one forged source get a risky change made? `python -m bench.spoof [--tries N] [--write] [--json]`.

Each try is a service that is well and was really deployed a few minutes ago (the best that a forger can hope for: there
is something to go back to), with two or three senders that are all quiet. One of them is forged: by a token of its own,
by one that was stolen from a sender that everybody knows, or by nobody at all. It brings series of its own, writes into
those of the others, or both, as many and as bad as it likes. Calibration is as sure as it gets and the verb may act.
normalise, the definitions that the windows keep, diagnose and decide are those of production, with the shipped
policies; detection is passed over, every window that the forger touched is taken for an anomaly.

`borne_out` counts the tries that acted where a second, honest sender saw the same: a policy that never permits anything
would look as good without it. `not_told_apart`: how often a forger would win if senders had no names.
`--write` keeps the result in `docs/results/spoof.json`.
"""

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

import schemas as sc
from actions import Decide, DecideSettings, load_policies, load_runbooks
from bench.decide import commit
from diagnosis import Diagnose, equal_weights
from schemas.core import NS, Message, Tick
from streams import KIND, SOURCE, TRUST, Normalise
from streams._otlp_encode import gauge, request
from streams._registry import Registry
from streams._window_state import WindowState
from streams.sources.otlp_metrics import OtlpMetrics
from tidegate import _pipeline

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs/results/spoof.json"
AT = 1_767_268_800 * NS
SERVICE = "checkout"
ENTITY = f"default/service/{SERVICE}"
HONEST = ("collector", "prometheus", "prober")
KINDS = (("error_ratio", "errors"), ("latency", "latency_p99"), ("metric", "queue"))
SURE = sc.CalibrationMap(
    data="bench", fitted_on=[], method="platt", parameters=[0.0, 6.0], state="OWN", outcomes=500,
    scored=[0.97] * 500, right=[1] * 500,
)  # fmt: skip


class Try(NamedTuple):
    """One forger. senders: honest ones. forger: its name, empty if it proves none. own: series it brings itself.

    foreign: senders into whose series it writes. is_seen: another sender shows the same symptoms.
    """

    senders: tuple[str, ...]
    forger: str
    own: int
    foreign: tuple[str, ...]
    p_value: float
    is_seen: bool = False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help="keep the result")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    document = measured(told.tries)
    if told.write:
        KEPT.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document) if told.json else "\n".join(f"{name:24} {value}" for name, value in document.items()))
    return 1 if document["risky_actions"] or not document["borne_out"] else 0


def measured(tries: int) -> dict[str, Any]:
    """Counts over `tries` forgeries, and over as many symptoms that a second sender saw."""
    began, room = time.process_time(), Room()
    forged = [attempt(Random(seed)) for seed in range(tries)]
    said = [room.decided(one) for one in forged]
    seen = [room.decided(one._replace(is_seen=True)) for one in forged]
    not_told_apart = [room.decided(one, is_told=False) for one in forged]
    return {
        "tries": tries, "risky_actions": said.count("approved"), "asked_of_people": said.count("awaiting_approval"),
        "other": len(said) - said.count("approved") - said.count("awaiting_approval"),
        "borne_out": seen.count("approved"), "not_told_apart": not_told_apart.count("approved"),
        "stolen_tokens": sum(one.forger in one.senders for one in forged),
        "without_a_name": sum(not one.forger for one in forged),
        "in_series_of_others": sum(bool(one.foreign) for one in forged),
        "cpu_s": round(time.process_time() - began, 1), "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(), "command": "python -m bench.spoof --write",
    }  # fmt: skip


def attempt(chance: Random) -> Try:
    senders = tuple(chance.sample(HONEST, chance.randint(2, 3)))
    forger = chance.choice(["forger", "forger", chance.choice(senders), ""])
    others = [name for name in senders if name != forger]
    foreign = tuple(chance.sample(others, chance.randint(0, len(others))))
    own = chance.randint(0 if foreign else 1, 4)
    return Try(senders, forger, own, foreign, 10.0 ** -chance.uniform(9, 40))


class Room:
    """The stages, built once; each try begins with empty states."""

    def __init__(self) -> None:
        known = _pipeline.verbs(["gitops.revert"])
        sources: list[Any] = [OtlpMetrics(fast=False)]
        self.normalise = Normalise(sources, fast=False)
        self.diagnose = Diagnose(equal_weights(), calibration=SURE)
        self.decide = Decide(
            known, load_runbooks(_pipeline.texts(None, "runbooks"), known),
            load_policies(_pipeline.texts(None, "policies")), DecideSettings(modes={"*": "act"}),
        )  # fmt: skip

    def decided(self, one: Try, *, is_told: bool = True) -> str:
        """How the strongest action of the try ended. is_told: senders are told apart, as in production."""
        registry, touched = self.heard(one)
        messages = [_message(sc.CHANGES, DEPLOY, AT - 120 * NS)]
        for n, series in enumerate(touched):
            definition = registry.definition(registry.row(series))
            sender = definition.sender if is_told else HONEST[n % 2]
            messages += [_message(sc.ANOMALIES, _anomaly(definition, one.p_value, at, sender), at) for at in _WINDOWS]
        messages.sort(key=lambda message: message.event_ns)
        state, found = self.diagnose.initial(), list[Any]()
        events: list[Message | Tick] = [*messages, Tick(AT + 300 * NS)]
        for event in events:
            state, out = self.diagnose.step(state, event)
            found += [emit for emit in out if getattr(emit, "topic", "") == sc.DIAGNOSES]
        state_of, ends = self.decide.initial(), list[str]()
        for n, emit in enumerate([messages[0], *found]):
            record = Message(emit.topic, 0, n, emit.key, emit.value, emit.headers, emit.event_ns, emit.event_ns)
            state_of, out = self.decide.step(state_of, record)
            for said in (sc.read(_as_read(emit)) for emit in out):
                if isinstance(said, sc.ActionEvent) and said.change.verb == "gitops.revert":
                    ends.append(said.state)
        return "approved" if "approved" in ends else ends[-1] if ends else "nothing asked"

    def heard(self, one: Try) -> tuple[Registry, list[int]]:
        """What the windows know of all series, and ids of those that show symptoms."""
        state, windows = self.normalise.initial(), WindowState()
        said = [(name, f"{name}_{metric}") for name in one.senders for _, metric in KINDS]
        forged = [(one.forger, f"forged_{n}_{KINDS[n % 3][1]}") for n in range(one.own)]
        forged += [(one.forger, f"{name}_{metric}") for name in one.foreign for _, metric in KINDS]
        bad = {name for _, name in forged}
        if one.is_seen:
            witness = next(name for name in one.senders if name != one.forger)
            forged += [(witness, f"{witness}_seen_{metric}") for _, metric in KINDS]
            bad |= {f"{witness}_seen_{metric}" for _, metric in KINDS}
        for n, (sender, metric) in enumerate([*said, *forged]):
            state, out = self.normalise.step(state, _sent(sender, metric, AT + n * NS))
            _define(windows, out)
        mark = sc.Watermark(stage="source:x", through_ns=AT + 120 * NS, final=True)
        told = sc.emit(sc.RAW, mark, id="m", key="x", source="bench", event_ns=AT)
        state, out = self.normalise.step(state, Message("otlp_metrics", 0, 0, b"", told.value, told.headers, AT, AT))
        _define(windows, out)
        windows.activate(np.array(sorted(windows.waiting), np.uint64))
        rows = range(len(windows.registry))
        named = {int(d.id, 16): d.name for d in (windows.registry.definition(row) for row in rows)}
        return windows.registry, [series for series, name in named.items() if name in bad]


DEPLOY = sc.Change(
    id="c1", entity_id=ENTITY, service=SERVICE, kind="deploy", at_ns=AT - 120 * NS, title="deploy", version_from="v1",
    version_to="v2",
)  # fmt: skip
_WINDOWS = tuple(AT + n * 10 * NS for n in range(1, 5))


def _sent(sender: str, metric: str, at_ns: int) -> Message:
    body = request([((("service.name", SERVICE),), [gauge(metric, "1", at_ns, 1.0)])])
    trust = b"1" if sender else b"0"
    headers = ((KIND, b"otlp_metrics"), (SOURCE, f"{sender or 'local'}/metrics".encode()), (TRUST, trust))
    return Message("otlp_metrics", 0, 0, b"", body, headers, at_ns, at_ns)


def _define(windows: WindowState, out: list[Any]) -> None:
    for emit in out:
        if getattr(emit, "topic", "") == sc.FRAMES and not sc.record_type(_as_read(emit)):
            windows.define(sc.decode_frame(emit.value).defs)


def _as_read(emit: Any) -> Message:
    return Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, 0, 0)


def _anomaly(definition: sc.SeriesDef, p_value: float, end_ns: int, sender: str) -> sc.Anomaly:
    kind: Any = next((kind for kind, metric in KINDS if definition.name.endswith(metric)), "metric")
    pointer = sc.EvidencePointer(
        signal="metrics", subject=definition.id, t_min_ns=end_ns - 10 * NS, t_max_ns=end_ns, sha256="s", sender=sender
    )
    return sc.Anomaly(
        id=sc.record_id("anomaly", definition.id, end_ns), entity_id=ENTITY, service=SERVICE, series=definition.id,
        name=definition.name, signal="metrics", kind=kind, detector="bench@1", start_ns=end_ns - 10 * NS,
        end_ns=end_ns, observed=9.0, expected=1.0, residual=8.0, unit="1", p_value=p_value, direction=1,
        pointer=pointer,
    )  # fmt: skip


def _message(topic: str, record: sc.Record, at_ns: int) -> Message:
    emit = sc.emit(topic, record, id="m", key="k", source="bench", event_ns=at_ns)
    return Message(topic, 0, 0, emit.key, emit.value, emit.headers, at_ns, at_ns)


if __name__ == "__main__":
    raise SystemExit(main())
