"""Two ledgers that must balance exactly: messages admitted, and samples decoded. Counted inside the snapshots.

    messages admitted = decoded + dead_lettered
    samples decoded   = processed + duplicate + late + rejected   (+ buffered, while time has not passed them)

A sample is one number data point or one histogram data point of a message. What a stage derives from logs and spans
is counted apart: those samples are ours, not a sender's.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Ledger:
    """Counters by name; `reasons` splits rejections and dead letters by their stable code."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, n: int = 1, reason: str = "") -> None:
        self.counts[name] += n
        if reason:
            self.reasons[f"{name}:{reason}"] += n

    def dump(self) -> dict[str, dict[str, int]]:
        return {"counts": dict(sorted(self.counts.items())), "reasons": dict(sorted(self.reasons.items()))}

    @classmethod
    def load(cls, data: Mapping[str, Mapping[str, int]]) -> "Ledger":
        return cls(Counter(data["counts"]), Counter(data["reasons"]))


MESSAGES = ("admitted", "decoded", "dead_lettered")
SAMPLES = ("decoded", "processed", "duplicate", "late", "rejected", "buffered")


def summed(ledgers: Iterable[Ledger]) -> Ledger:
    total = Ledger()
    for ledger in ledgers:
        total.counts.update(ledger.counts)
        total.reasons.update(ledger.reasons)
    return total


def report(ledger: Ledger) -> dict[str, dict[str, int]]:
    """The two ledgers under the names that commands print; derived samples and reasons beside them."""
    return {
        "messages": {name: ledger.counts[f"messages.{name}"] for name in MESSAGES},
        "samples": {name: ledger.counts[f"samples.{name}"] for name in SAMPLES},
        "derived": {name: ledger.counts[f"derived.{name}"] for name in SAMPLES},
        "reasons": dict(sorted(ledger.reasons.items())),
    }


def imbalance(ledger: Ledger) -> str:
    """An empty string if both ledgers balance, else a sentence that says by how much."""
    r = report(ledger)
    m, found = r["messages"], []
    if m["admitted"] != m["decoded"] + m["dead_lettered"]:
        found.append(f"{m['admitted']} messages admitted, {m['decoded']} decoded + {m['dead_lettered']} dead-lettered")
    for kind in ("samples", "derived"):
        s = r[kind]
        rest = sum(s[name] for name in SAMPLES[1:])
        if s["decoded"] != rest:
            found.append(f"{s['decoded']} {kind} decoded, {rest} accounted for")
    return "; ".join(found)
