"""Least privilege on Kafka: what each role reads and writes, as ACLs to print, to apply, to compare.

A topic is named, never a pattern, so a new topic is closed until somebody says otherwise. Groups are a prefix: a second
version of a stage runs beside the first under a longer name. Idempotent producers need nothing beside Write since
Kafka 2.8 (KIP-679); nobody uses transactions.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Any, Literal, NamedTuple

from streams._kafka_names import ungrouped
from streams._kafka_settings import KafkaSettings

Operation = Literal["Read", "Write", "Create", "Alter", "Describe", "DescribeConfigs", "AlterConfigs"]


class Access(NamedTuple):
    """What a role needs. reads, writes: topics of the table. sees: those whose partitions and settings it looks at.

    makes: it creates and alters these topics. has_groups: it is a member of groups that begin with its name.
    watches: it sees the groups of all roles.
    """

    role: str
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    sees: frozenset[str] = frozenset()
    makes: frozenset[str] = frozenset()
    has_groups: bool = True
    watches: bool = False


class Acl(NamedTuple):
    """One permission, as Kafka keeps it."""

    principal: str
    resource: Literal["topic", "group"]
    name: str
    is_prefix: bool
    operation: Operation


def principal_of(role: str, settings: KafkaSettings, template: str = "") -> str:
    """`User:tidegate-detect`, or a template with `{role}` and `{prefix}`: certificates have `User:CN=...`."""
    return (template or "User:{prefix}-{role}").replace("{role}", role).replace("{prefix}", settings.prefix)


def acls(access: Access, settings: KafkaSettings, principal: str) -> list[Acl]:
    """Exactly what the role needs, sorted."""
    found: set[Acl] = set()

    def allow(topics: Iterable[str], *operations: Operation) -> None:
        names = [settings.real(topic) for topic in topics]
        found.update(Acl(principal, "topic", name, False, operation) for name in names for operation in operations)

    allow(access.reads, "Read")
    allow(access.writes, "Write")
    allow(access.makes, "Create", "Alter", "Describe", "DescribeConfigs", "AlterConfigs")
    allow(access.sees, "DescribeConfigs")
    allow(access.sees - access.reads - access.writes, "Describe")  # Read and Write imply it
    if access.reads:
        found.add(Acl(principal, "group", ungrouped(settings.prefix), False, "Describe"))
    if access.watches:
        found.add(Acl(principal, "group", f"{settings.prefix}.", True, "Describe"))
    if access.has_groups:
        found.add(Acl(principal, "group", f"{settings.prefix}.{access.role}", True, "Read"))
    return sorted(found)


def commands(wanted: Iterable[Acl], settings: KafkaSettings) -> list[str]:
    """Lines for `kafka-acls.sh`, one for all topics with the same operations."""
    operations: dict[tuple[str, str, bool, str], tuple[Operation, ...]] = {}
    for acl in sorted(wanted):
        place = (acl.principal, acl.resource, acl.is_prefix, acl.name)
        operations[place] = (*operations.get(place, ()), acl.operation)
    rows = sorted((*place[:3], allowed, place[3]) for place, allowed in operations.items())
    lines = []
    for (principal, kind, is_prefix, allowed), group in groupby(rows, lambda row: row[:4]):
        parts = [f"kafka-acls.sh --bootstrap-server {settings.brokers or 'BROKER:9092'} --add"]
        parts += [f"--allow-principal '{principal}'", *(f"--operation {operation}" for operation in allowed)]
        parts += ["--resource-pattern-type prefixed"] if is_prefix else []
        lines.append(" ".join([*parts, *(f"--{kind} {row[4]}" for row in group)]))
    return lines


def document(acl: Acl) -> dict[str, Any]:
    """For JSON."""
    pattern = "prefixed" if acl.is_prefix else "literal"
    fields = {"resource": acl.resource, "name": acl.name, "pattern": pattern, "operation": acl.operation}
    return {"principal": acl.principal, **fields, "permission": "allow"}
