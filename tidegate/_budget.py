"""How improbable a symptom must be to page, from the pages that a team is willing to have in a shift.

A recording is read through the detectors with a low bar. Of each service every minute counts the most surprising of its
anomalies, whatever the detector: p means the same everywhere. The tail of those is fitted without labels
(`learning/_tails.py`), over all services at once, so the budget is one number for the whole team; the answer is
`diagnosis.open_p`. The first quarter of the recording teaches the detectors, and minutes of maintenance are left out.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import schemas as sc
from learning import TooShort, alarms_due, fit_tail, onsets, surprise_for
from schemas import why
from schemas.core import F64, I64, NS, Message
from tidegate._errors import TidegateError

BAR_P = 0.1
"""Anomalies are asked for up to this p: the tail is fitted where noise is, not where faults are."""
TOPICS = (sc.ANOMALIES, sc.CALENDAR)
MINUTE_NS, HOUR_NS = 60 * NS, 3600 * NS
TAUGHT = 0.25
DETECTOR = "any"


class BudgetError(TidegateError):
    code = "BUDGET_UNFIT"


class Seen(NamedTuple):
    """surprise: by service, float64 (minutes,), -log10 of the smallest p that touched the minute, 0 if none did."""

    surprise: dict[str, F64]
    left_out: int
    """Minutes of maintenance."""


def seen(messages: Iterable[Message], services: Iterable[str], begin_ns: int, end_ns: int) -> Seen:
    """What every minute of [begin, end) was to each service; those that nothing happened to are there, too."""
    n = max(int((end_ns - begin_ns) // MINUTE_NS), 0)
    found = {name: np.zeros(n) for name in sorted(services)}
    calm = {name: np.ones(n, np.bool_) for name in found}
    for message in messages:
        record = sc.read(message)
        if isinstance(record, sc.Anomaly) and record.service in found:
            at = int((record.end_ns - 1 - begin_ns) // MINUTE_NS)
            if 0 <= at < n:
                found[record.service][at] = max(found[record.service][at], -np.log10(record.p_value))
        elif isinstance(record, sc.CalendarEntry) and record.kind == "maintenance":
            first, last = ((edge - begin_ns) // MINUTE_NS for edge in (record.start_ns, record.end_ns - 1))
            for name in record.services or list(calm):
                if name in calm:
                    calm[name][max(int(first), 0) : max(int(last) + 1, 0)] = False
    kept = {name: surprise[calm[name]] for name, surprise in found.items()}
    return Seen(kept, sum(int((~one).sum()) for one in calm.values()))


def told_by_hour(messages: Iterable[Message], begin_ns: int, end_ns: int) -> dict[str, I64]:
    """Anomalies of each detector in each whole hour of [begin, end), those of maintenance included."""
    hours = max(int((end_ns - begin_ns) // HOUR_NS), 0)
    found: dict[str, I64] = {}
    for message in messages:
        record = sc.read(message)
        if isinstance(record, sc.Anomaly):
            at = int((record.end_ns - 1 - begin_ns) // HOUR_NS)
            if 0 <= at < hours:
                found.setdefault(record.detector.partition("@")[0], np.zeros(hours, np.int64))[at] += 1
    return dict(sorted(found.items()))


def fit(found: Seen, data: str, pages: float, shift_h: float) -> dict[str, Any]:
    """The fit and what follows from it for so many pages a shift, as the JSON object of `detect fit`.

    Raises BudgetError where the stretch is too short or the budget is not above 0.
    """
    try:
        tail = fit_tail(DETECTOR, found.surprise, data)
        services = len(found.surprise)
        at = surprise_for(tail, pages / (services * shift_h * 60.0))
    except (TooShort, ValueError) as error:
        raise BudgetError(str(error), where=data, code=getattr(error, "code", BudgetError.code)) from error
    minutes = sum(len(one) for one in found.surprise.values())
    said = {name: int(onsets(one, at).sum()) for name, one in found.surprise.items()}
    return {
        "open_p": 10.0**-at, "pages_per_shift": pages, "shift_h": shift_h, "services": services, "minutes": minutes,
        "left_out_minutes": found.left_out, "due_in_stretch": alarms_due(tail, at) * minutes,
        "seen_in_stretch": sum(said.values()),
        "loudest": dict(sorted(((k, v) for k, v in said.items() if v), key=lambda pair: (-pair[1], pair[0]))[:5]),
        "tail": tail.model_dump(mode="json"),
    }  # fmt: skip


def read(place: Path) -> dict[str, Any]:
    """What `detect fit --out` wrote. Raises BudgetError."""
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
        sc.TailFit.model_validate(document["tail"])
        float(document["services"]), float(document["shift_h"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BudgetError(f"not a fit: {why(error)}", where=str(place), todo="Write one: tidegate detect fit R --out F",
                          code="BUDGET_UNREADABLE") from error  # fmt: skip
    return dict(document)


def explain(document: dict[str, Any], p: float) -> dict[str, Any]:
    """What opening incidents at this p costs: chance pages a shift, a week, and between which they are extrapolated."""
    tail, surprise = sc.TailFit.model_validate(document["tail"]), -float(np.log10(p))
    a_minute = alarms_due(tail, surprise) * document["services"]
    return {
        "p": p, "pages_per_shift": a_minute * 60.0 * document["shift_h"], "pages_per_week": a_minute * 60.0 * 168.0,
        "shift_h": document["shift_h"], "services": document["services"], "fitted_above_p": 10.0**-tail.threshold,
        "is_below_fit": surprise < tail.threshold,
    }  # fmt: skip
