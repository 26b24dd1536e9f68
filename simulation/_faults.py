"""What goes wrong, and how much of it: each seed draws an intensity for each kind of fault, most of them none.

A run in which everything fails all the time tests little, since nothing gets far enough to fail in an interesting
way; so the intensities are drawn apart (swarm testing, Groce et al., ISSTA 2012). Each kind has its own stream of
chance: dropping one leaves all others as they were.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from simulation._chance import Chance

Level = Literal["none", "light", "full"]

KINDS: dict[str, str] = {
    "crash": "a worker dies at an await, before, during or after what it asked for",
    "sleep": "a worker sleeps for 5 to 120 s and wakes up with everything still in its hands",
    "lost_request": "a request to the gateway never arrives",
    "lost_answer": "the gateway's answer never arrives",
    "late": "a request lands 2 to 60 s after it was sent",
    "double": "a request or a record arrives twice",
    "rebalance": "an action is given to a second worker while the first goes on",
    "skew": "a worker's clock is wrong by half a second to an hour",
    "torn": "a process dies in the middle of a ledger write",
    "disk_full": "the ledger cannot write for a while",
    "fsync": "a sync of the ledger fails: nobody knows what is durable",
    "gateway_crash": "the gateway dies and starts again with what it kept",
    "slow_target": "a target swallows a write, and takes it 1 to 25 s later",
    "refused": "a target refuses a write",
    "unreadable": "a target cannot be read",
    "policy_down": "the policy engine does not answer for up to 200 s",
    "liar": "the diagnosis, or a language model in it, names the wrong cause with confidence",
    "spoof": "a forged source of telemetry says what the plant does not do",
    "gaps": "telemetry is missing",
    "malice": "an approver sends forged, repeated, foreign or expired approvals",
    "absence": "approvers do not answer",
    "churn": "an incident is merged, split, reopened or withdrawn between intent and verification",
    "people": "people change a target themselves",
    "replica": "a replica of the ledger is promoted without the last 100 ms",
    "backup": "last night's backup of the ledger is restored",
    "backlog": "what is read is six hours old",
    "kill": "the kill switch, at a random time or just after an effect was commanded",
    "kill_unheard": "the state of the kill switch cannot be read for a while",
    "kafka_down": "nothing can be published for up to 30 minutes",
    "chat_down": "people cannot be told for a while",
    "supervisor": "the supervisor gives no sign of life for a while",
    "storm": "all incidents come within 40 s",
    "restart": "every process starts again at once",
}  # fmt: skip
NEVER = 1 << 60
LIGHT = ("crash", "sleep", "lost_request", "lost_answer", "late", "double", "gaps", "absence", "refused", "people")
"""What a bad but ordinary day has."""
RARE = ("backlog", "storm", "policy_down", "disk_full", "kill_unheard", "supervisor", "replica", "backup", "skew")
"""What stops nearly everything else while it lasts: in one of seven seeds each, so that the rest is tried as well."""
INTENSITIES = (0.0, 0.0, 0.3, 1.0, 3.0)


@dataclass
class Faults:
    """The intensity of each kind in one run, and the chance that decides when."""

    seed: int
    of: Mapping[str, float] = field(default_factory=dict)
    is_over: bool = False
    """Faults stop some time before the end, so that what must end can."""

    def __post_init__(self) -> None:
        self._streams = {kind: Chance(self.seed, f"fault/{kind}") for kind, much in self.of.items() if much > 0}

    def strikes(self, kind: str, probability: float) -> bool:
        """Whether it happens now; `probability` is that at intensity 1."""
        if kind not in self._streams or self.is_over:
            return False
        return self._streams[kind].share() < probability * self.of[kind]

    def until(self, kind: str, probability: float) -> int:
        """How many chances pass before it happens again; what is asked very often counts these down."""
        stream = self._streams.get(kind)
        if stream is None:
            return NEVER
        return int(math.log(1.0 - stream.share()) / math.log(1.0 - min(0.5, probability * self.of[kind])))

    def chance(self, kind: str) -> Chance:
        """The stream of a kind, for how long and how much; only where its intensity is not 0."""
        return self._streams[kind]

    def has(self, kind: str) -> bool:
        return kind in self._streams

    def without(self, kind: str) -> "Faults":
        return Faults(self.seed, {name: much for name, much in self.of.items() if name != kind})

    def only(self) -> dict[str, float]:
        return {kind: much for kind, much in self.of.items() if much > 0}


def draw_faults(seed: int, level: Level) -> Faults:
    """The faults of a seed. `light`: ordinary ones at 0 or 0.3; `full`: all kinds at 0, 0.3, 1 or 3."""
    if level == "none":
        return Faults(seed)
    chance = Chance(seed, "intensity")
    drawn = {kind: chance.pick(INTENSITIES) for kind in KINDS}
    drawn = {kind: 0.0 if kind in RARE and chance.share() > 0.25 else much for kind, much in drawn.items()}
    if level == "light":
        drawn = {kind: min(drawn[kind], 0.3) for kind in LIGHT}
    return Faults(seed, drawn)
