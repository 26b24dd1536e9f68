"""Groups of anomalies and their incidents as JSON, for snapshots."""

from typing import Any

import schemas as sc
from diagnosis._correlate import Closed, Group, Open
from diagnosis._recurring import Episode

_SETS = ("core", "services")


def out(record: sc.Record) -> dict[str, Any]:
    return record.model_dump(mode="json")


def group_out(group: Group) -> dict[str, Any]:
    """As JSON."""
    return {
        "recent": [out(a) for a in group.recent], "pending": [out(a) for a in group.pending],
        "check_ns": group.check_ns, "dropped": group.dropped, "open": [_open_out(one) for one in group.open],
        "closed": [[sorted(one.services), one.at_ns, one.flaps] for one in group.closed],
        "habits": {key: [list(one) for one in kept] for key, kept in sorted(group.habits.items())},
    }  # fmt: skip


def group_in(item: dict[str, Any]) -> Group:
    """Back from `group_out`. Raises KeyError, TypeError, ValueError."""
    return Group(
        recent=[_anomaly(a) for a in item["recent"]], pending=[_anomaly(a) for a in item["pending"]],
        check_ns=item["check_ns"], dropped=item["dropped"], open=[_open_in(one) for one in item["open"]],
        closed=[Closed(frozenset(services), at_ns, flaps) for services, at_ns, flaps in item["closed"]],
        habits={key: [Episode(*one) for one in kept] for key, kept in item.get("habits", {}).items()},
    )  # fmt: skip


def _open_out(open_: Open) -> dict[str, Any]:
    plain = {name: getattr(open_, name) for name in open_.__slots__ if name not in ("first", "kept", "noticed", *_SETS)}
    return plain | {
        "first": {key: out(a) for key, a in open_.first.items()},
        "kept": {key: [out(a) for a in kept] for key, kept in open_.kept.items()},
        "noticed": {key: out(a) for key, a in open_.noticed.items()},
        **{name: sorted(getattr(open_, name)) for name in _SETS},
    }


def _open_in(traits: dict[str, Any]) -> Open:
    traits = dict(traits)
    traits["first"] = {key: _anomaly(a) for key, a in traits["first"].items()}
    traits["kept"] = {key: [_anomaly(a) for a in kept] for key, kept in traits["kept"].items()}
    traits["noticed"] = {key: _anomaly(a) for key, a in traits.get("noticed", {}).items()}
    return Open(**traits | {name: set(traits[name]) for name in _SETS})


def _anomaly(value: Any) -> sc.Anomaly:
    return sc.Anomaly.model_validate(value)
