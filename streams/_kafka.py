"""The Kafka face of the room: `from streams import kafka`. It loads librdkafka, so only who needs it asks."""

from streams._kafka_acl import Access, Acl, acls, commands, document, principal_of
from streams._kafka_acl_apply import apply
from streams._kafka_client import admin, client_config, consumer, producer
from streams._kafka_errors import is_passing, kafka_error
from streams._kafka_probe import Capabilities, probe
from streams._kafka_read import Extent, KafkaHistory
from streams._kafka_topics import Difference, TopicState, copies_of, create, describe, require
from streams._kafka_write import KafkaWriter

__all__ = [
    "Access", "Acl", "Capabilities", "Difference", "Extent", "KafkaHistory", "KafkaWriter", "TopicState", "acls",
    "admin", "apply", "client_config", "commands", "consumer", "copies_of", "create", "describe", "document",
    "is_passing", "kafka_error", "principal_of", "probe", "producer", "require",
]  # fmt: skip
