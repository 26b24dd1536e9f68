"""What the shop's instances made, as messages of source topics: one resource an instance, some thousand rows each."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import schemas as sc
from schemas.core import NS, Emit
from simulation._shop_day import Deploy, Entry
from simulation._shop_spans import Part
from streams._otlp_encode import Attributes, request

SOURCE = "simulation/shop"
_MESSAGE_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Messages:
    """An instance is numbered service * 4 + slot * 2 + (1 once it runs the new version)."""

    services: Sequence[str]
    old: Mapping[str, str]
    new: Mapping[str, str]

    def of(self, topic: str, parts: Iterable[Part]) -> Iterator[Emit]:
        batch: list[Part] = []
        for part in sorted(parts, key=lambda part: part.instance):
            if batch and sum(p.size for p in batch) + part.size > _MESSAGE_ROWS:
                yield self._message(topic, batch)
                batch = []
            batch.append(part)
        if batch:
            yield self._message(topic, batch)

    def _message(self, topic: str, parts: list[Part]) -> Emit:
        groups: dict[int, list[bytes]] = {}
        for part in parts:
            groups.setdefault(part.instance, []).append(part.items)
        value = request((self._resource(instance), items) for instance, items in groups.items())
        return Emit(topic, b"", value, (), max(part.newest_ns for part in parts))

    def _resource(self, instance: int) -> Attributes:
        service = self.services[instance // 4]
        version = self.new[service] if instance % 2 else self.old[service]
        hashes = hashlib.blake2b(f"{service} {version}".encode(), digest_size=5).hexdigest()
        own = hashlib.blake2b(f"{service} {version} {instance}".encode(), digest_size=5).hexdigest()[:5]
        pod = f"{service}-{hashes}-{own}"
        return ("service.name", service), ("service.version", version), ("k8s.pod.name", pod)


def change(deploy: Deploy, version_from: str, start_ns: int) -> Emit:
    """The record of a change, as the deploy tool sends it."""
    at_ns = start_ns + round(deploy.at_s * NS)
    record = sc.Change(
        id=sc.record_id("change", deploy.service, deploy.title, at_ns),
        entity_id=sc.Entity(service=deploy.service, name=deploy.service).entity_id, service=deploy.service,
        kind=deploy.kind, at_ns=at_ns, title=deploy.title, version_from=version_from, version_to=deploy.version,
    )  # fmt: skip
    return _told(record, record.id, record.entity_id, at_ns)


def noted(entry: Entry, start_ns: int) -> Emit:
    """The record of an entry of the calendar."""
    from_ns, to_ns = (start_ns + round(at_s * NS) for at_s in (entry.from_s, entry.to_s))
    id = sc.record_id("calendar", entry.kind, entry.title, from_ns)
    record = sc.CalendarEntry(id=id, kind=entry.kind, title=entry.title, start_ns=from_ns, end_ns=to_ns)
    return _told(record, id, "", from_ns)


def _told(record: sc.Record, id: str, key: str, at_ns: int) -> Emit:
    told = sc.emit(sc.RAW, record, id=id, key=key, source=SOURCE, event_ns=at_ns)
    return replace(told, headers=(*told.headers, ("tidegate-kind", b"records")))
