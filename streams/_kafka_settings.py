"""What the Kafka clients can be told: one frozen object for librdkafka and for the asyncio client under Faust.

It imports no client, so a machine without the `kafka` extra can still read and check its settings. Secrets are not
part of any `repr`; `described` is what may be shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from streams._errors import TransportError
from streams._kafka_names import real_name, topic_of

Protocol = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
Mechanism = Literal["plain", "scram-sha-256", "scram-sha-512", "oauthbearer"]
GroupProtocol = Literal["classic", "consumer"]

OWNED = frozenset({
    "acks", "auto.offset.reset", "bootstrap.servers", "enable.auto.commit", "enable.auto.offset.store",
    "enable.idempotence", "enable.partition.eof", "error_cb", "group.id", "group.instance.id", "group.protocol",
    "isolation.level", "logger", "metadata.broker.list", "request.required.acks", "transactional.id",
})  # fmt: skip
"""What `extra` may not set: that nothing is lost or doubled rests on these, or a setting of ours says it."""


@dataclass(frozen=True, slots=True)
class OAuth:
    """Client credentials at a token endpoint (RFC 6749, section 4.4)."""

    token_url: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    scope: str = ""


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """Who we are and whom we trust. Files are PEM; `cert_file` with `key_file` is mutual TLS."""

    protocol: Protocol = "plaintext"
    mechanism: Mechanism | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: str = field(default="", repr=False)
    oauth: OAuth = OAuth()

    @property
    def has_tls(self) -> bool:
        return self.protocol in ("ssl", "sasl_ssl")

    @property
    def has_sasl(self) -> bool:
        return self.protocol in ("sasl_plaintext", "sasl_ssl")


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Where the brokers are, how topics are called and made, how groups behave.

    brokers: `host:port`, separated by commas. prefix: in front of our topics, groups and principals; `acme:next` is
    the generation `next` of the deployment `acme`.
    replication: copies of each topic; None is 3, or as many as there are brokers if fewer.
    horizon_days: how far back a replay may begin; telemetry is kept and reference data not compacted for so long.
    session_timeout_ms: after this much silence a process loses its partitions.
    group_protocol: `consumer` is the broker-side protocol (KIP-848, Kafka 4.0 or newer).
    instance_id: static membership; the same name again within the session timeout causes no rebalance. Each process
    needs its own. extra: settings for librdkafka as they are. timeout_s: patience at start. sources: names on Kafka of
    topics that collectors write, by their names in the table, where these differ.
    """

    brokers: str
    prefix: str = "tidegate"
    replication: int | None = None
    horizon_days: int = 7
    security: KafkaSecurity = KafkaSecurity()
    session_timeout_ms: int = 6000
    group_protocol: GroupProtocol = "classic"
    instance_id: str = ""
    timeout_s: float = 10.0
    sources: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if owned := sorted(OWNED & set(self.extra)):
            raise TransportError(
                f"kafka.extra sets {', '.join(owned)}, which is not a choice here", code="KAFKA_SETTINGS",
                todo="Take it out of kafka.extra; other settings of librdkafka may stay",
            )  # fmt: skip

    def real(self, topic: str) -> str:
        """The name on Kafka of a topic of the table.

        >>> KafkaSettings("", prefix="acme", sources={"otlp_logs": "logs"}).real("otlp_logs")
        'logs'
        """
        return self.sources.get(topic) or real_name(topic, self.prefix)

    def table(self, real: str) -> str:
        """The name in the table of a topic on Kafka; any other name stays as it is, and is empty if it is that of a
        source which has another name here: then it belongs to another deployment.

        >>> settings = KafkaSettings("", prefix="acme", sources={"otlp_logs": "logs"})
        >>> settings.table("logs"), settings.table("acme.frames.v1"), settings.table("otlp_logs")
        ('otlp_logs', 'tidegate.frames.v1', '')
        """
        named = next((topic for topic, name in self.sources.items() if name == real), None)
        return named or ("" if real in self.sources else topic_of(real, self.prefix))

    def described(self) -> str:
        """One line for people, without any secret."""
        security, parts = self.security, [self.brokers or "no brokers", self.security.protocol]
        if security.has_sasl:
            who = security.oauth.client_id if security.mechanism == "oauthbearer" else security.username
            parts.append(f"{security.mechanism} as {who}" if who else str(security.mechanism))
        if security.cert_file:
            parts.append(f"certificate {security.cert_file}")
        return ", ".join(parts)
