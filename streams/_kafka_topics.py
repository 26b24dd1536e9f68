"""Topics on Kafka: made from the table, compared with it, altered where nothing that is stored goes away by it.

What a stage may not run on is an error (TOPIC_MISSING, TOPIC_DIFFERS): telemetry topics with unequal numbers of
partitions, records in order spread over several, a log that compaction thins out. Everything else is a difference that
`describe` names with the command that ends it; a longer retention is no harm.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the library names them in no __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from confluent_kafka.cimpl import NewTopic

import schemas as sc
from streams._errors import TransportError
from streams._kafka_errors import MISSING, kafka_error
from streams._kafka_settings import KafkaSettings

_DAY_MS = 86_400_000
_COPIES = 3
_STEP_S = 0.2

State = Literal["made", "kept", "altered", "different", "missing"]


class Difference(NamedTuple):
    """is_fatal: stages do not run on it. is_safe: `--alter` ends it, and nothing stored goes away."""

    what: str
    found: str
    wanted: str
    is_fatal: bool
    is_safe: bool
    todo: str


class TopicState(NamedTuple):
    topic: str
    """As in the table."""
    name: str
    """As on Kafka."""
    state: State
    partitions: int
    replication: int
    differences: tuple[Difference, ...]


class _Found(NamedTuple):
    partitions: int
    copies: int
    config: Mapping[str, str]


def config_of(topic: sc.Topic, settings: KafkaSettings, copies: int) -> dict[str, str]:
    """What Kafka is told of a topic that exists in so many copies."""
    horizon_ms = settings.horizon_days * _DAY_MS
    keep_ms = sc.FOREVER if topic.keep_days == sc.FOREVER else max(topic.keep_days * _DAY_MS, horizon_ms)
    found = {
        "cleanup.policy": topic.cleanup, "retention.ms": str(keep_ms),
        "max.message.bytes": str(topic.max_message_bytes), "min.insync.replicas": "2" if copies > 2 else "1",
    }  # fmt: skip
    if topic.is_reference:
        found["min.compaction.lag.ms"] = str(horizon_ms)
    return found


def copies_of(client: AdminClient, settings: KafkaSettings) -> int:
    """How many copies of each topic: as settled, else three, or as many as there are brokers if fewer."""
    if settings.replication is not None:
        return settings.replication
    try:
        return min(_COPIES, len(client.list_topics(timeout=settings.timeout_s).brokers))
    except KafkaException as error:
        raise kafka_error(error.args[0], settings) from error


def create(
    client: AdminClient, settings: KafkaSettings, partitions: int | None = None, *, alter: bool = False
) -> list[TopicState]:
    """Make what is missing, keep what is there; with `alter` end the safe differences.

    partitions: of the telemetry topics; None keeps the number that they have, else 1. Doing it twice changes nothing.
    Raises TransportError TOPIC_DIFFERS before anything is made if a topic that is there can never fit.
    """
    found = describe(client, settings, partitions)
    partitions = partitions or _partitions(found) or 1
    _refuse(found, settings)
    copies = copies_of(client, settings)
    made = _make([state.topic for state in found if state.state == "missing"], client, settings, partitions, copies)
    altered = _alter(found, client, settings) if alter else set()
    states = []
    for state in found:  # what the broker confirmed; asked again at once, it may still answer as before
        if state.topic in made:
            count = partitions if sc.TOPICS[state.topic].partitioned else 1
            state = state._replace(state="made", partitions=count, replication=copies)
        elif state.name in altered:
            left = tuple(difference for difference in state.differences if not difference.is_safe)
            state = state._replace(state="altered", differences=left)
        states.append(state)
    return states


def describe(client: AdminClient, settings: KafkaSettings, partitions: int | None = None) -> list[TopicState]:
    """Every topic of the table as it is, with each difference from what is wanted. Changes nothing.

    partitions: as for `create`.
    """
    return _compare(client, settings, sc.TOPICS, partitions, copies_of(client, settings))


def require(client: AdminClient, settings: KafkaSettings, topics: Collection[str]) -> dict[str, int]:
    """Partitions of each of these topics of the table, when stages can run on them.

    Raises TransportError TOPIC_MISSING, TOPIC_DIFFERS or KAFKA_FORBIDDEN, naming all that is wrong.
    """
    found = _compare(client, settings, topics, None, 1)
    if missing := [state.name for state in found if state.state == "missing"]:
        raise TransportError(
            f"topics are missing: {', '.join(sorted(missing))}", where=settings.brokers, code="TOPIC_MISSING",
            todo="Run `tidegate topics create`",
        )  # fmt: skip
    _refuse(found, settings)
    return {state.topic: state.partitions for state in found}


def is_spread(topic: sc.Topic) -> bool:
    """Whether all such topics need the same number of partitions: partition p of one belongs to p of the others."""
    return topic.partitioned and topic.content != "source"


def _partitions(states: Iterable[TopicState]) -> int:
    return max((state.partitions for state in states if is_spread(sc.TOPICS[state.topic])), default=0)


def _compare(
    client: AdminClient, settings: KafkaSettings, topics: Iterable[str], partitions: int | None, copies: int
) -> list[TopicState]:
    names = {topic: settings.real(topic) for topic in topics}
    found = _find(client, settings, list(names.values()))
    counts = [found[name].partitions for topic, name in names.items() if name in found and is_spread(sc.TOPICS[topic])]
    partitions = partitions or max(counts, default=0)
    states = []
    for topic, name in names.items():
        if name not in found:
            states.append(TopicState(topic, name, "missing", 0, 0, ()))
            continue
        there = found[name]
        differ = tuple(_differences(sc.TOPICS[topic], name, there, settings, partitions, copies))
        state: State = "different" if differ else "kept"
        states.append(TopicState(topic, name, state, there.partitions, there.copies, differ))
    return states


def _differences(
    topic: sc.Topic, name: str, found: _Found, settings: KafkaSettings, partitions: int, copies: int
) -> Iterable[Difference]:
    if topic.content != "source":  # what senders write may have any number
        wanted = partitions if topic.partitioned else 1
        if wanted != found.partitions:
            yield Difference("partitions", str(found.partitions), str(wanted), True, False, _repartition(found, wanted))
    if found.copies < copies:
        todo = "kafka-reassign-partitions.sh adds copies"
        yield Difference("replication", str(found.copies), str(copies), False, False, todo)
    for key, value in config_of(topic, settings, found.copies).items():
        there = found.config.get(key, "")
        if _same(key, there, value):
            continue
        is_thinned = key == "cleanup.policy" and "compact" in there and not topic.is_compacted
        yield Difference(
            key, there, value, is_thinned, _is_safe(key, there, value),
            f"kafka-configs.sh --bootstrap-server {settings.brokers} --alter --entity-type topics "
            f"--entity-name {name} --add-config {key}=[{value}]",
        )  # fmt: skip


def _repartition(found: _Found, wanted: int) -> str:
    if wanted < found.partitions:
        return f"Kafka never takes partitions away: keep {found.partitions}, or use another kafka.prefix"
    return "`tidegate topics grow` adds partitions and moves the state of the shards with them; `create` does not"


def _same(key: str, found: str, wanted: str) -> bool:
    return set(found.split(",")) == set(wanted.split(",")) if key == "cleanup.policy" else found == wanted


def _is_safe(key: str, found: str, wanted: str) -> bool:
    """Whether Kafka keeps or takes at least what it did."""
    if key == "cleanup.policy":  # compaction waits for the horizon; a deletion that was not there before takes away
        return "delete" in found or "delete" not in wanted
    if key == "min.insync.replicas":
        return True
    endless = float("inf")
    before, after = (endless if text == "-1" else float(text or 0) for text in (found, wanted))
    return after > before


def _refuse(states: Iterable[TopicState], settings: KafkaSettings) -> None:
    fatal = [(s.name, d) for s in states for d in s.differences if d.is_fatal]
    if fatal:
        what = "; ".join(f"{name} has {d.what} {d.found}, wanted {d.wanted}" for name, d in fatal)
        raise TransportError(what, where=settings.brokers, code="TOPIC_DIFFERS", todo=fatal[0][1].todo)


def _make(
    missing: Iterable[str], client: AdminClient, settings: KafkaSettings, partitions: int, copies: int
) -> set[str]:
    """Returns when every broker of the cluster is likely to know them: the one that is asked does."""
    wanted = {settings.real(topic): sc.TOPICS[topic] for topic in missing}
    if not wanted:
        return set()
    new = [
        NewTopic(name, partitions if topic.partitioned else 1, copies, config=config_of(topic, settings, copies))
        for name, topic in wanted.items()
    ]  # fmt: skip
    for name, future in client.create_topics(new, operation_timeout=settings.timeout_s).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else made it meanwhile
                raise kafka_error(error.args[0], settings, doing="create", topic=name) from error
    for _ in range(round(settings.timeout_s / _STEP_S)):
        if len(_find(client, settings, list(wanted))) == len(wanted):
            break
        client.poll(_STEP_S)
    return {topic.name for topic in wanted.values()}


def _alter(states: Iterable[TopicState], client: AdminClient, settings: KafkaSettings) -> set[str]:
    resources = []
    for state in states:
        safe = [d for d in state.differences if d.is_safe]
        if safe:
            entries = [ConfigEntry(d.what, d.wanted, incremental_operation=AlterConfigOpType.SET) for d in safe]
            resources.append(ConfigResource("topic", state.name, incremental_configs=entries))
    if not resources:
        return set()
    for resource, future in client.incremental_alter_configs(resources).items():
        try:
            future.result()
        except KafkaException as error:
            raise kafka_error(error.args[0], settings, doing="alter", topic=resource.name) from error
    return {resource.name for resource in resources}


def _find(client: AdminClient, settings: KafkaSettings, names: list[str]) -> dict[str, _Found]:
    """The topics that are there. Asked by name: a list of all would leave out what we may not see."""
    counts: dict[str, tuple[int, int]] = {}
    if not names:
        return {}
    asked = client.describe_topics(TopicCollection(names), request_timeout=settings.timeout_s)
    for name, future in asked.items():
        try:
            partitions = future.result().partitions
            counts[name] = (len(partitions), min(len(p.replicas) for p in partitions))
        except KafkaException as error:
            if error.args[0].code() not in MISSING:
                raise kafka_error(error.args[0], settings, doing="describe", topic=name) from error
    if not counts:
        return {}
    found: dict[str, _Found] = {}
    resources = [ConfigResource("topic", name) for name in counts]
    for resource, answer in client.describe_configs(resources, request_timeout=settings.timeout_s).items():
        try:
            config = {key: str(entry.value) for key, entry in answer.result().items()}
        except KafkaException as error:
            if error.args[0].code() in MISSING:  # made a moment ago: this broker has not heard of it yet
                continue
            raise kafka_error(error.args[0], settings, doing="describe", topic=resource.name) from error
        found[resource.name] = _Found(*counts[resource.name], config)
    return found
