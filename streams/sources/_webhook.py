"""What the sources of webhooks share: fields of a JSON body with errors that name them, and records made of them.

Senders add fields without notice, so what is not asked for is not looked at; what a record cannot do without is asked
for by name, and its absence is said with the path where it was looked for. Text is bounded, because it is shown.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

import schemas as sc
from schemas.core import NS, Message
from streams._entities import UNKNOWN_SERVICE, pod_owner, tenant_of
from streams._errors import SourceError
from streams._intake import json_of
from streams._otlp_rows import _batch
from streams.importers._rows import iso_ns

SERVICE = "http-x-tidegate-service"
"""Header with which whoever configures a webhook names the service, where the body cannot know it."""
MOST_TEXT, MOST_LABELS = 500, 64
_OURS = "tidegate"
_LABELS = (
    "service", "service_name", "app_kubernetes_io_name", "app", "deployment", "statefulset", "daemonset", "component",
    "application",
)  # fmt: skip
_INTENT = re.compile(
    r"^\s*(?:tidegate-intent:\s*)?(error_ratio|latency)\s+(down|up)\s+within\s+(\d{1,5})\s*(s|m|h)"
    r"(?:\s+of\s+(\S{1,200}))?(?:\s+status\s+(\S{1,20}))?\s*$",
    re.IGNORECASE,
)
_ZONED = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?: (UTC|[+-]\d{4}))")


class Fields:
    """An object of a JSON body. `at` is its path, for errors; a field that is null counts as absent."""

    def __init__(self, value: Mapping[str, Any], code: str, at: str = "") -> None:
        self._value, self._code, self._at = value, code, at

    @classmethod
    def of(cls, message: Message, code: str) -> "Fields":
        """The body of a message. Raises SourceError of this code, also for what is JSON but no object."""
        found = json_of(message.value, code)
        if not isinstance(found, dict):
            raise SourceError(f"a JSON object is due, this is {type(found).__name__}", code=code)
        return cls(found, code)

    def __contains__(self, name: str) -> bool:
        return self._value.get(name) is not None

    def any(self, *names: str) -> str:
        """The first of these fields that holds text or a number, as text, else an empty string."""
        return next((found for name in names if (found := plain(self._value.get(name)))), "")

    def text(self, name: str) -> str:
        """Raises SourceError if it is absent, empty or no text."""
        found = plain(self._value.get(name))
        if not found:
            raise self.missing(name)
        return found

    def part(self, name: str) -> "Fields":
        """The object in a field. Raises SourceError if there is none."""
        if name not in self:
            raise self.missing(name)
        return self.maybe(name)

    def maybe(self, name: str) -> "Fields":
        """The object in a field, an empty one if it is absent. Raises SourceError if it is something else."""
        found = self._value.get(name)
        if found is not None and not isinstance(found, dict):
            raise self.wrong(name, "an object is due")
        return Fields(found or {}, self._code, f"{self._at}{name}.")

    def parts(self, name: str) -> list["Fields"]:
        """The objects of a list, none if it is absent. Raises SourceError for what is no list of objects."""
        found = self._value.get(name)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self.wrong(name, "a list of objects is due")
        return [Fields(item, self._code, f"{self._at}{name}[{i}].") for i, item in enumerate(found)]

    def items(self) -> Iterator[tuple[str, str]]:
        """Fields that hold text, numbers or truth values, as bounded text, at most `MOST_LABELS`, by name."""
        found = ((plain(name), plain(self._value[name])) for name in sorted(self._value, key=str))
        yield from [(name, value) for name, value in found if value][:MOST_LABELS]

    def raw(self, name: str) -> Any:
        return self._value.get(name)

    def time(self, *names: str, default: int | None = None) -> int:
        """The first of these fields that is present as nanoseconds: ISO 8601, or a number of s, ms, us or ns by size.

        Raises SourceError if none is present and there is no default, and for what is no time or not after 1970.
        """
        for name in names:
            found = self._value.get(name)
            if found in (None, "", 0):
                continue
            try:
                at = epoch_ns(found) if isinstance(found, int | float) else time_ns(str(found))
            except (ValueError, OverflowError) as error:
                raise self.wrong(name, f"a time is due, {str(error)[:120]}") from error
            if 0 < at < 1 << 63:
                return at
            if default is None:
                raise self.wrong(name, "the time cannot be told in nanoseconds since 1970")
        if default is None:
            raise self.missing(names[0])
        return default

    def missing(self, name: str) -> SourceError:
        return SourceError(
            f"the field '{self._at}{name}' is missing or empty", code=self._code,
            todo="Send the body as the system makes it",
        )  # fmt: skip

    def wrong(self, name: str, what: str) -> SourceError:
        return SourceError(f"the field '{self._at}{name}' does not fit: {what}", code=self._code)


def plain(value: Any) -> str:
    """Text, number or truth value as text of at most `MOST_TEXT` characters that can be encoded; else empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)[:MOST_TEXT]
    return value[:MOST_TEXT].strip().encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def epoch_ns(value: float) -> int:
    """A time since the epoch in seconds, milli-, micro- or nanoseconds, told by its size; right from 1973 on.

    >>> epoch_ns(1_700_000_000) == epoch_ns(1_700_000_000_000) == epoch_ns(1_700_000_000 * NS)
    True
    """
    size = abs(value)
    unit = next((unit for unit, top in ((NS, 1e11), (1_000_000, 1e14), (1_000, 1e17)) if size < top), 1)
    return int(value * unit)


def time_ns(text: str) -> int:
    """An ISO 8601 time, or one as Ruby and PHP print them with a zone, as nanoseconds. Raises ValueError.

    >>> time_ns("2021-04-28 21:50:00 +0200") == time_ns("2021-04-28 19:50:00 UTC") == time_ns("2021-04-28T19:50:00Z")
    True
    """
    if found := _ZONED.fullmatch(text.strip()):
        zone = "+0000" if found[2] == "UTC" else found[2]
        return int(datetime.strptime(f"{found[1]} {zone}", "%Y-%m-%d %H:%M:%S %z").astimezone(UTC).timestamp()) * NS
    return iso_ns(text)


def service_in(message: Message, labels: Mapping[str, str], *names: str) -> str:
    """Of what service it speaks: as the webhook was configured, else the labels that say so, else the first name.

    A pod among the labels counts as its owner. Never empty: `unknown_service` if nothing says.
    """
    named = plain(message.header(SERVICE)) or next((labels[name] for name in _LABELS if labels.get(name)), "")
    pod = labels.get("pod") or labels.get("pod_name") or ""
    others = (pod_owner(pod), *names, labels.get("job", ""))
    return short(named or next((name for name in others if name), UNKNOWN_SERVICE))


def short(name: str) -> str:
    """The last part of a path, because a slash parts entity ids: `shop/checkout` is `checkout`; empty stays empty."""
    return name.rstrip("/").rsplit("/", 1)[-1] or (UNKNOWN_SERVICE if name else "")


def entity_of(message: Message, service: str) -> str:
    return sc.Entity(tenant=tenant_of(message), kind="service", service=service, name=service).entity_id


def change(
    message: Message, system: str, key: tuple[str | int, ...], service: str, kind: sc.ChangeKind, at_ns: int,
    title: str, *, version_from: str = "", version_to: str = "", reference: str = "", author: str = "",
    environment: str = "", intent: sc.Intent | None = None,
) -> sc.Change:  # fmt: skip
    """A change under an id that is the same however often it is told. key: what the system calls it."""
    tenant = tenant_of(message)
    return sc.Change(
        id=sc.record_id("change", tenant, system, *key), tenant=tenant, entity_id=entity_of(message, service),
        service=service, kind=kind, at_ns=at_ns, title=title[:MOST_TEXT], version_from=version_from or None,
        version_to=version_to or None, reference=reference or None, author=author or None,
        environment=environment or None, intent=intent,
    )  # fmt: skip


def intent_in(text: object, at_ns: int, *, is_trailer: bool = True) -> sc.Intent | None:
    """What a change is for, said in a line `Tidegate-Intent: error_ratio down within 30m [of /pay] [status 422]`.

    is_trailer: the line stands somewhere in a text and needs its name; else the text is an annotation of its own.

    >>> intent_in("Pool 50\\n\\nTidegate-Intent: latency down within 30m", 0).by_ns == 1800 * NS
    True
    """
    lines = text.splitlines()[-200:] if isinstance(text, str) else []
    for line in lines:
        found = _INTENT.match(line[:500])
        if found is None or (is_trailer and "tidegate-intent" not in line.lower()):
            continue
        seconds = int(found[3]) * {"s": 1, "m": 60, "h": 3600}[found[4].lower()]
        return sc.Intent(
            metric="latency" if found[1].lower() == "latency" else "error_ratio",
            direction="up" if found[2].lower() == "up" else "down", by_ns=at_ns + seconds * NS,
            endpoint=plain(found[5]) or None, status=plain(found[6]),
        )  # fmt: skip
    return None


def signals(message: Message, alerts: Iterable[sc.Alert]) -> pa.RecordBatch | None:
    """That each was told, as a line of its service from a place called after it; at the time at which it was taken.

    What we opened elsewhere ourselves (its key there begins with `tidegate`) is no signal: it would speak for itself.
    """
    return lines([_line(alert, message.received_ns) for alert in alerts if not _is_ours(alert)])


def _is_ours(alert: sc.Alert) -> bool:
    return any(alert.labels.get(name, "").startswith(_OURS) for name in ("incident_key", "correlation_id"))


def _line(alert: sc.Alert, at_ns: int) -> tuple[Any, ...]:
    severity = 17 if alert.state == "firing" else 9  # OpenTelemetry: ERROR, INFO
    body = f"{alert.kind} {alert.name} is {alert.state}: {alert.title}"
    return at_ns, alert.entity_id, alert.service, severity, f"{alert.system}/{alert.name}/{alert.state}", body, b"", b""


def lines(rows: list[tuple[Any, ...]]) -> pa.RecordBatch | None:
    """Rows of `LOG_FIELDS` as columns, None if there are none."""
    return _batch(sc.LOG_FIELDS, rows)
