"""ACLs on the broker: add what a role lacks, and name what it has beyond its needs. Nothing is taken away."""

from collections.abc import Iterable
from typing import Any, Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the library names them in no __all__
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streams._kafka_acl import Acl, Operation
from streams._kafka_errors import kafka_error
from streams._kafka_settings import KafkaSettings

_OPERATIONS: dict[Operation, AclOperation] = {
    "Read": AclOperation.READ, "Write": AclOperation.WRITE, "Create": AclOperation.CREATE,
    "Alter": AclOperation.ALTER, "Describe": AclOperation.DESCRIBE, "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
}  # fmt: skip
_NAMES: dict[Any, Operation] = {operation: name for name, operation in _OPERATIONS.items()}
_RESOURCES: dict[Any, Literal["topic", "group"]] = {ResourceType.TOPIC: "topic", ResourceType.GROUP: "group"}


def apply(client: AdminClient, settings: KafkaSettings, wanted: Iterable[Acl]) -> tuple[list[Acl], list[str]]:
    """Add what is lacking. Returns (added, what these principals may do beyond it); twice adds nothing.

    Raises TransportError, KAFKA_FORBIDDEN if we may not alter ACLs.
    """
    needed = set(wanted)
    there, beyond = _existing(client, settings, {acl.principal for acl in needed}, needed)
    added = sorted(needed - there)
    if added:
        for future in client.create_acls([_binding(acl) for acl in added]).values():
            try:
                future.result(settings.timeout_s)
            except KafkaException as error:
                raise kafka_error(error.args[0], settings, doing="alter ACLs of") from error
    return added, beyond


def _existing(
    client: AdminClient, settings: KafkaSettings, principals: set[str], needed: set[Acl]
) -> tuple[set[Acl], list[str]]:
    there, beyond = set(), []
    for principal in sorted(principals):
        every: Any = None  # any name, any host
        everything = AclBindingFilter(
            ResourceType.ANY, every, ResourcePatternType.ANY, principal, every, AclOperation.ANY, AclPermissionType.ANY
        )
        try:
            found = client.describe_acls(everything, request_timeout=settings.timeout_s).result()
        except KafkaException as error:
            raise kafka_error(error.args[0], settings, doing="describe ACLs of") from error
        for binding in found:
            acl = _acl(binding)
            if acl in needed and acl is not None:
                there.add(acl)
            else:
                what = f"{binding.restype.name.lower()} {binding.name}"
                allowed = f"{binding.permission_type.name.lower()} {binding.operation.name.lower()}"
                beyond.append(f"{binding.principal}: {allowed} on {what}")
    return there, beyond


def _binding(acl: Acl) -> AclBinding:
    return AclBinding(
        ResourceType.TOPIC if acl.resource == "topic" else ResourceType.GROUP, acl.name,
        ResourcePatternType.PREFIXED if acl.is_prefix else ResourcePatternType.LITERAL, acl.principal, "*",
        _OPERATIONS[acl.operation], AclPermissionType.ALLOW,
    )  # fmt: skip


def _acl(binding: AclBinding) -> Acl | None:
    """None for what no role of ours has: other operations, resources, hosts, or a denial."""
    operation, kind = _NAMES.get(binding.operation), _RESOURCES.get(binding.restype)
    if operation is None or kind is None or binding.host != "*":
        return None
    if binding.permission_type is not AclPermissionType.ALLOW:
        return None
    return Acl(
        binding.principal, kind, binding.name, binding.resource_pattern_type is ResourcePatternType.PREFIXED, operation
    )
