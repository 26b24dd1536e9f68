"""The verbs of the simulated plant, one for each way in which a repeat is harmless or not, and their executor.

Each sets the one field `setting` of its target to an absolute value and knows the value before, so its undo is the
same verb with both exchanged. Times are shorter than in production, so that a history of three hours holds whole lives
of actions. The gateway drives the executor as it drives those of real systems.
"""

from collections.abc import Callable, Mapping
from typing import Any

from actions._contract import Capacity, Declared, EffectClass, Parameters, Risk, Undo
from actions._executor import Capabilities, Effect, ExecutorSettings, Mark, Reading, TargetAway, Written
from schemas import Json
from simulation._faults import Faults
from simulation._plant import BETWEEN, Plant
from simulation._plant import Mark as Left

FLOOR = 0.5
"""Share of the replicas that must go on serving."""


class Setting(Parameters):
    value: str
    before: str
    takes: int
    """Replicas that are out of service while it holds."""


class _SetVersion(Declared):
    """A conditional write: the target must still have the value that was read."""

    name = "sim.set_version"
    parameters: type[Parameters] = Setting
    risk: Risk = "medium"
    is_reversible = True
    effect_class: EffectClass = "conditional"
    permissions = ("sim: write",)
    owner = "simulation"
    settle_s = 60
    undo_valid_for_s = 900
    capacity_floor = FLOOR

    def undo(self, parameters: Parameters) -> Undo | None:
        one = _setting(parameters)
        return Undo(self.name, {"value": one.before, "before": one.value, "takes": 0})

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        return {"setting": _setting(parameters).before}

    def sets(self, parameters: Parameters) -> dict[str, Json]:
        return {"setting": _setting(parameters).value}

    def taken(self, parameters: Parameters, state: Mapping[str, Json]) -> int:
        return _setting(parameters).takes


class _SetFlag(_SetVersion):
    """The target keeps the key of what it took, and takes nothing twice."""

    name = "sim.set_flag"
    effect_class: EffectClass = "keyed"

    def expects(self, parameters: Parameters) -> dict[str, Json]:
        return {}


class _SetWeight(_SetFlag):
    """An absolute value: taking it twice leaves what taking it once leaves."""

    name = "sim.set_weight"
    effect_class: EffectClass = "naturally_idempotent"
    undo_on_no_effect = True


class _Fire(_SetFlag):
    """A repeat has an effect, and nothing takes it back."""

    name = "sim.fire"
    risk: Risk = "high"
    is_reversible = False
    effect_class: EffectClass = "unsafe"

    def undo(self, parameters: Parameters) -> Undo | None:
        return None


VERBS: tuple[type[_SetVersion], ...] = (_SetVersion, _SetFlag, _SetWeight, _Fire)


def as_plugins() -> list[Any]:
    """As a catalogue would find them: classes, of which nothing is known before they are held to the contract."""
    return list(VERBS)


def _setting(parameters: Parameters) -> Setting:
    assert isinstance(parameters, Setting)
    return parameters


class PlantExecutor:
    """What stands between the gateway and the plant. `now_ns` is the plant's own time."""

    kind = "simulation"
    settings = ExecutorSettings
    verbs = tuple(verb.name for verb in VERBS)
    capabilities: Mapping[str, Capabilities] = {
        verb.name: Capabilities(verb is _SetVersion, True, False, False) for verb in VERBS
    }
    permissions: Mapping[str, tuple[Mapping[str, Json], ...]] = {verb.name: () for verb in VERBS}

    def __init__(self, plant: Plant, faults: Faults, now_ns: Callable[[], int]) -> None:
        self._plant, self._faults, self._now_ns = plant, faults, now_ns

    def read(self, effect: Effect) -> Reading:
        if self._faults.strikes("unreadable", 0.05):
            raise TargetAway(f"{effect.target} does not answer")
        target = self._plant.targets[effect.target]
        mark = None
        if target.mark is not None:
            mark = Mark(target.mark.key, target.mark.step, target.way, target.epoch)
        capacity = Capacity(target.healthy, target.replicas)
        version = str(target.version)
        return Reading(target.id, version, version, {"setting": target.setting}, mark, capacity)

    def check(self, effect: Effect, reading: Reading) -> str | None:
        return None

    def write(self, effect: Effect, mark: Mark, reading: Reading, sent_ns: int | None = None) -> Written:
        """`sent_ns`: when it left, where a slow target takes it later."""
        target, now_ns = self._plant.targets[effect.target], self._now_ns()
        if self._faults.strikes("refused", 0.05):
            return Written("refused", "TARGET_REFUSED")
        if self._faults.strikes("people", 0.02):
            self._plant.overwrite(effect.target, BETWEEN)
        if self.capabilities[effect.verb].is_conditional and str(target.version) != reading.token:
            return Written("refused", "TARGET_MOVED")
        setting, left = str(effect.sets["setting"]), Left(mark.key, mark.step)
        sent_ns = now_ns if sent_ns is None else sent_ns
        self._plant.write(effect.target, left, mark.direction, mark.epoch, setting, now_ns, sent_ns)
        return Written("written")

    def fence(self, effect: Effect, epoch: int) -> None:
        """The gateway is the only way to the plant, so its own fence is enough."""
