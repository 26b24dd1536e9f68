"""Silences as people and Alertmanager write them, and as records.

Alertmanager: `GET /api/v2/silences` answers a list of `{id, matchers: [{name, value, isRegex, isEqual}], startsAt,
endsAt, createdBy, comment, status: {state}}` (openapi.yaml of its API v2); `isEqual` is true where it is left out.
"""

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import ValidationError

import schemas as sc
from schemas import why
from schemas.core import NS, Emit
from tidegate._errors import SettingsError
from tidegate._event_time import time_ns
from tidegate._reading import address_of

SOURCE = "tidegate/silence"
ALERTMANAGER = "alertmanager"
UNREACHABLE = "ALERTMANAGER_UNREACHABLE"
TIMEOUT_S = 10
MOST_BYTES = 8 << 20
_MATCHER = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.:]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def span_ns(text: str) -> int:
    """Nanoseconds of `90m`, `1h30m`, `2d`.

    >>> span_ns("1h30m") // NS
    5400
    """
    parts = _SPAN.findall(text)
    if not parts or "".join(f"{n}{unit}" for n, unit in parts) != text:
        raise SettingsError(f"'{text[:40]}' is no length of time", todo="Write 30m, 2h or 1d12h")
    return round(sum(float(n) * _UNITS[unit] for n, unit in parts) * NS)


def matcher_of(text: str) -> sc.Matcher:
    """`service=cart`, `zone!=test`, `pod=~cart-.*`, `pod!~...`. Raises SettingsError."""
    found = _MATCHER.fullmatch(text)
    if not found:
        raise SettingsError(f"'{text[:80]}' is no matcher", todo="Write LABEL=VALUE, or !=, =~, !~")
    name, sign, value = found.groups()
    try:
        return sc.Matcher(name=name, value=value.strip('"'), is_regex="~" in sign, is_equal="!" not in sign)
    except ValidationError as error:
        raise SettingsError(_first(error), where=text[:80], todo="Write a simpler expression") from error


def silence_of(matchers: list[sc.Matcher], begin_ns: int, end_ns: int, now_ns: int, author: str, comment: str,
               tenant: str = "default") -> sc.Silence:  # fmt: skip
    """A silence of our own; its id follows from what it is, who said it and when. Raises SettingsError."""
    told = [one.model_dump(mode="json") for one in matchers]
    try:
        return sc.Silence(
            id=sc.record_id("silence", tenant, json.dumps(told), begin_ns, end_ns, author, now_ns), tenant=tenant,
            matchers=matchers, start_ns=begin_ns, end_ns=end_ns, said_ns=now_ns, author=author, comment=comment,
        )  # fmt: skip
    except ValidationError as error:
        raise SettingsError(_first(error), todo="Say what it holds of: --match service=NAME") from error


class Taken(NamedTuple):
    """left_out: why, by id."""

    silences: list[sc.Silence]
    left_out: dict[str, str]


def silences_of(document: Any, known: Iterable[sc.Silence], now_ns: int, tenant: str = "default") -> Taken:
    """Those of Alertmanager that are new, changed or over, said now; what cannot be honoured is left out by name."""
    before = {one.id: one for one in known if one.system == ALERTMANAGER}
    taken, left_out = [], {}
    if not isinstance(document, list):
        raise SettingsError("this is no list of silences", todo="Take what GET /api/v2/silences answers")
    for item in document:
        name = str(item.get("id", "?"))[:80] if isinstance(item, dict) else "?"
        try:
            one = sc.Silence(
                id=sc.record_id("silence", ALERTMANAGER, tenant, name), tenant=tenant,
                matchers=[sc.Matcher(name=m["name"], value=m["value"], is_regex=m.get("isRegex", False),
                                     is_equal=m.get("isEqual", True)) for m in item["matchers"]],
                start_ns=time_ns(item["startsAt"]), end_ns=time_ns(item["endsAt"]), said_ns=now_ns,
                author=item.get("createdBy") or "unknown", comment=item.get("comment", ""), system=ALERTMANAGER,
            )  # fmt: skip
        except (ValidationError, SettingsError, KeyError, TypeError, AttributeError) as error:
            left_out[name] = _first(error) if isinstance(error, ValidationError) else str(error) or repr(error)
            continue
        old = before.get(one.id)
        if old is None and one.end_ns <= now_ns:
            continue
        if old is None or old.model_copy(update={"said_ns": now_ns}) != one:
            taken.append(one)
    return Taken(taken, left_out)


def asked(url: str) -> Any:
    """What `GET /api/v2/silences` of an Alertmanager answers. Raises SettingsError ALERTMANAGER_UNREACHABLE."""
    place = f"{url.rstrip('/')}/api/v2/silences"
    if address_of(place) is None:
        raise SettingsError(f"'{url[:80]}' is no address", todo="Write http://HOST:9093")
    try:
        with urllib.request.urlopen(place, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read(MOST_BYTES))
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise SettingsError(
            f"its silences cannot be read: {why(error)}", where=place, code=UNREACHABLE,
            todo="Look whether Alertmanager listens there, and speaks API v2",
        ) from error  # fmt: skip


def emits(silences: Iterable[sc.Silence]) -> list[Emit]:
    """As they lie on the topic; event time is when they were said."""
    return [
        sc.emit(sc.CALENDAR, one, id=sc.record_id("silence", one.id, one.said_ns), key=one.id, source=SOURCE,
                event_ns=one.said_ns)
        for one in silences
    ]  # fmt: skip


def _first(error: ValidationError) -> str:
    return str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
