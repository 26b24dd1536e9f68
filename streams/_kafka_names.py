"""Names on Kafka: the topics of the table with the prefix of the deployment in place of ours.

`otlp_*` are written by collectors and keep the names that those give them.
"""

import schemas as sc

_OURS = "tidegate."


def ungrouped(prefix: str) -> str:
    """The group that nobody joins: librdkafka wants a name also where partitions are assigned by hand, and looks for
    the coordinator of it, so who reads needs to see (Describe) this one.
    """
    return f"{prefix}.ungrouped"


def real_name(topic: str, prefix: str) -> str:
    """The name on Kafka of a topic of the table: `tidegate.frames.v1` is `acme.frames.v1` with prefix `acme`."""
    return f"{prefix}.{topic.removeprefix(_OURS)}" if topic.startswith(_OURS) else topic


def topic_of(real: str, prefix: str) -> str:
    """The name in the table of a topic on Kafka; any other name stays as it is.

    >>> topic_of(real_name("tidegate.frames.v1", "acme"), "acme")
    'tidegate.frames.v1'
    """
    named = _OURS + real.removeprefix(f"{prefix}.") if real.startswith(f"{prefix}.") else real
    return named if named in sc.TOPICS else real
