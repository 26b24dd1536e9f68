"""A gateway of tests: its trust, permits for its requests, and targets in memory that can lose answers."""

import asyncio
import importlib
import pkgutil
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import actions.verbs
from actions import Verbs
from actions._executor import Capabilities, Reading, TargetAway, Written
from actions._gateway import Trust
from actions._gateway_desk import GatewayDesk
from actions._gateway_store import SqliteGatewayStore
from actions._permit import mint
from actions._ports import EffectRequest, Watch
from schemas.core import NS

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)
NOW = 1_790_000_000 * NS
TARGET = "default/service/checkout"
TRUST = Trust("shop", {"decide-1": KEY.public_key().public_bytes_raw()}, ("default/",))
PLUGINS = [
    importlib.import_module(f"actions.verbs.{module.name}").PLUGIN
    for module in pkgutil.iter_modules(actions.verbs.__path__)
    if not module.name.startswith("_")
]
VERBS = Verbs(PLUGINS, [plugin.name for plugin in PLUGINS])
PARAMETERS = {"service": "checkout", "change": "chg-1", "from_version": "v42", "to_version": "v41"}


def watch(*scopes, age_s=0.0, now_ns=NOW):
    return Watch(frozenset(scopes), now_ns - round(age_s * NS), now_ns)


def request(change=None, **more) -> EffectRequest:
    change = change or VERBS.change("gitops.revert", TARGET, PARAMETERS, "r")
    fields = {
        "key": "sha256:a", "plan_digest": "sha256:p", "step": 0, "direction": "do", "change": change,
        "effect_class": VERBS.get(change.verb).effect_class, "target": change.target, "epoch": 3,
        "until_ns": NOW + 20 * NS, "evidence_ns": NOW - 30 * NS, "expected_version": "1",
    }  # fmt: skip
    if more.get("direction") == "undo":
        fields["expected_version"] = ""
    return EffectRequest(**(fields | more))


def permitted(told: EffectRequest | None = None, key=KEY, now_ns=NOW, **more) -> EffectRequest:
    """The request with a permit minted for it."""
    told = told or request()
    fields = {"audience": "shop", "nonce": "0" * 32, "kid": "decide-1"} | more
    return told._replace(permit=mint(told, now_ns=now_ns, key=key, **fields))


class Clock:
    def __init__(self, now_ns=NOW):
        self.ns = now_ns

    def now_ns(self):
        return self.ns


class Kill:
    def __init__(self, clock):
        self.clock, self.scopes, self.age_s = clock, (), 0.0

    async def read(self):
        return watch(*self.scopes, age_s=self.age_s, now_ns=self.clock.now_ns())


class Locks:
    def __init__(self):
        self.locks = {}

    def hold(self, target):
        return self.locks.setdefault(target, asyncio.Lock())


class Shelf:
    """Targets in memory. `loses`: the next write's answer is lost, `before` or `after` it happened, or it is `late`."""

    def __init__(self, state=None, *, fences=True, keeps_mark=True):
        self.state = {"version": "v42"} if state is None else dict(state)
        self.number, self.mark, self.capacity = 1, None, None
        self.loses, self.late, self.writes, self.is_away, self.floor_epoch = "", None, 0, False, 0
        self.can = Capabilities(True, keeps_mark, fences, False)

    def capabilities(self, verb):
        return self.can

    async def read(self, effect):
        if self.is_away:
            raise TargetAway("away")
        mark = self.mark if self.can.keeps_mark else None
        return Reading("uid-1", str(self.number), f"{self.number}", dict(self.state), mark, self.capacity)

    async def check(self, effect, reading):
        return None

    async def write(self, effect, mark, reading):
        loses, self.loses = self.loses, ""
        if loses == "before":
            return Written("lost", "TIMEOUT")
        if loses == "late":
            self.late = (effect, mark, reading)
            return Written("lost", "TIMEOUT")
        written = self.land(effect, mark, reading)
        return Written("lost", "TIMEOUT") if loses == "after" else written

    def land(self, effect, mark, reading):
        if reading.token != str(self.number) or mark.epoch < self.floor_epoch:
            return Written("refused", "CONFLICT")
        self.state |= effect.sets
        self.number, self.mark, self.writes = self.number + 1, mark, self.writes + 1
        return Written("written")

    async def fence(self, effect, epoch):
        if self.is_away:
            raise TargetAway("away")
        self.floor_epoch = epoch

    def somebody_sets(self, **state):
        self.state |= state
        self.number, self.mark = self.number + 1, None


class Bench:
    """A desk with everything it needs."""

    def __init__(self, shelf=None, store=None, **trust):
        self.clock = Clock()
        self.kill, self.shelf = Kill(self.clock), shelf or Shelf()
        self.store = store or SqliteGatewayStore(":memory:")
        self.trust = replace(TRUST, **trust)
        self.again()

    def again(self):
        """A restart: the store stays."""
        self.desk = GatewayDesk(self.trust, VERBS, self.store, self.shelf, self.kill, self.clock, Locks())

    def apply(self, told=None):
        return asyncio.run(self.desk.apply(told or permitted()))

    def fence(self, epoch, target=TARGET):
        return asyncio.run(self.desk.fence(target, epoch))

    def probe(self, told):
        return asyncio.run(self.desk.probe(told))

    def dry_run(self, change):
        return asyncio.run(self.desk.dry_run("sha256:a", 0, change))
