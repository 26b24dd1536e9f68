"""Names on Kafka: the topics of the table with the prefix of the deployment in place of ours.

`otlp_*` are written by collectors and keep the names that those give them. A second generation of the pipeline beside
the first, to be compared with it, has the prefix `acme:next`: what it writes has names of its own, what comes from
outside (raw messages, control records, approvals, feedback) is the same for both.
"""

import schemas as sc

_OURS = "tidegate."


def ungrouped(prefix: str) -> str:
    """The group that nobody joins: librdkafka wants a name also where partitions are assigned by hand, and looks for
    the coordinator of it, so who reads needs to see (Describe) this one.
    """
    return f"{prefix}.ungrouped"


OUTSIDE = frozenset({sc.RAW, sc.CONTROL, sc.APPROVALS, sc.FEEDBACK})
"""Topics of ours that others write: every generation reads the same."""


def deployment_of(prefix: str) -> str:
    """The deployment without its generation: what orders to it name as their scope.

    >>> deployment_of("acme:next"), deployment_of("acme")
    ('acme', 'acme')
    """
    return prefix.partition(":")[0]


def real_name(topic: str, prefix: str) -> str:
    """The name on Kafka of a topic of the table.

    >>> real_name("tidegate.frames.v1", "acme"), real_name("tidegate.frames.v1", "acme:next")
    ('acme.frames.v1', 'acme-next.frames.v1')
    >>> real_name("tidegate.raw.v1", "acme:next"), real_name("otlp_logs", "acme")
    ('acme.raw.v1', 'otlp_logs')
    """
    if not topic.startswith(_OURS):
        return topic
    base, _, generation = prefix.partition(":")
    own = f"{base}-{generation}" if generation and topic not in OUTSIDE else base
    return f"{own}.{topic.removeprefix(_OURS)}"


def topic_of(real: str, prefix: str) -> str:
    """The name in the table of a topic on Kafka; any other name stays as it is.

    >>> topic_of(real_name("tidegate.frames.v1", "acme:next"), "acme:next")
    'tidegate.frames.v1'
    """
    base, _, generation = prefix.partition(":")
    for own in (f"{base}-{generation}", base) if generation else (base,):
        if real.startswith(f"{own}.") and (named := _OURS + real.removeprefix(f"{own}.")) in sc.TOPICS:
            return named
    return real
