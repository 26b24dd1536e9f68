"""ACLs: exactly what a role reads and writes, and the commands say the same as the bindings."""

import re
import shlex

import schemas as sc
from streams import Access, KafkaSettings, kafka
from streams._kafka_acl import Acl

SETTINGS = KafkaSettings("b:9092", prefix="acme")
STAGE = Access(
    "detect", frozenset({sc.FRAMES, sc.SNAPSHOTS}), frozenset({sc.ANOMALIES, sc.SNAPSHOTS}), frozenset({sc.LOGS})
)


def parsed(line: str) -> set[Acl]:
    """What `kafka-acls.sh` would make of a line."""
    words = shlex.split(line)
    values = {flag: [words[n + 1] for n, word in enumerate(words[:-1]) if word == f"--{flag}"] for flag in (
        "allow-principal", "operation", "topic", "group", "resource-pattern-type")}  # fmt: skip
    prefixed = values["resource-pattern-type"] == ["prefixed"]
    return {
        Acl(values["allow-principal"][0], kind, name, prefixed, operation)
        for kind in ("topic", "group") for name in values[kind] for operation in values["operation"]
    }  # fmt: skip


def test_a_stage_reads_its_inputs_writes_its_outputs_and_joins_its_groups():
    who = kafka.principal_of("detect", SETTINGS)
    found = {(a.operation, a.name) for a in kafka.acls(STAGE, SETTINGS, who)}
    assert who == "User:acme-detect"
    assert found == {
        ("Read", "acme.frames.v1"), ("Read", "acme.snapshots.v1"), ("Write", "acme.anomalies.v1"),
        ("Write", "acme.snapshots.v1"), ("Read", "acme.detect"), ("Describe", "acme.ungrouped"),
        ("Describe", "acme.logs.v1"), ("DescribeConfigs", "acme.logs.v1"),
    }  # fmt: skip


def test_only_the_groups_of_a_role_are_a_pattern():
    assert [a.name for a in kafka.acls(STAGE, SETTINGS, "User:x") if a.is_prefix] == ["acme.detect"]


def test_the_commands_say_what_the_bindings_say():
    wanted = kafka.acls(STAGE, SETTINGS, "User:CN=x, O=y")
    lines = kafka.commands(wanted, SETTINGS)
    assert set().union(*(parsed(line) for line in lines)) == set(wanted)
    assert all(re.match(r"kafka-acls\.sh --bootstrap-server b:9092 --add ", line) for line in lines)


def test_a_principal_may_be_that_of_a_certificate():
    assert kafka.principal_of("detect", SETTINGS, "User:CN={prefix}-{role}") == "User:CN=acme-detect"


def test_who_only_reads_may_not_see_settings():
    reader = Access("reader", frozenset({sc.ACTIONS}), has_groups=False)
    found = {(a.operation, a.name) for a in kafka.acls(reader, SETTINGS, "User:r")}
    assert found == {("Read", "acme.actions.v1"), ("Describe", "acme.ungrouped")}
