"""What Kafka answered, as a sentence with a code and the way out.

KAFKA_MISSING         the libraries are not installed
KAFKA_SETTINGS        the settings contradict each other
KAFKA_UNREACHABLE     nothing answers at an address, or not as Kafka does
KAFKA_TLS             one side speaks TLS and the other does not, or a certificate is not accepted
KAFKA_AUTHENTICATION  the broker does not know these credentials
KAFKA_FORBIDDEN       it knows us, and this is not allowed to us
TOPIC_MISSING, TOPIC_DIFFERS, MESSAGE_TOO_LARGE, BROKER_TOO_OLD, OFFSET_LOST, KAFKA_FENCED, KAFKA_FAILED
"""

from confluent_kafka import KafkaError

from streams._errors import TransportError
from streams._kafka_settings import KafkaSettings

K = KafkaError
UNREACHABLE = {
    K._ALL_BROKERS_DOWN, K._TRANSPORT, K._RESOLVE, K._TIMED_OUT, K._MSG_TIMED_OUT, K.REQUEST_TIMED_OUT,
    K.NETWORK_EXCEPTION,
}  # fmt: skip
AUTHENTICATION = {K._AUTHENTICATION, K.SASL_AUTHENTICATION_FAILED, K.UNSUPPORTED_SASL_MECHANISM, K.ILLEGAL_SASL_STATE}
FORBIDDEN = {
    K.TOPIC_AUTHORIZATION_FAILED, K.GROUP_AUTHORIZATION_FAILED, K.CLUSTER_AUTHORIZATION_FAILED,
    K.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}  # fmt: skip
MISSING = {K.UNKNOWN_TOPIC_OR_PART, K._UNKNOWN_TOPIC, K._UNKNOWN_PARTITION, K.UNKNOWN_TOPIC_ID}
TOO_OLD = {K.UNSUPPORTED_VERSION, K._UNSUPPORTED_FEATURE}
TOO_LARGE = {K.MSG_SIZE_TOO_LARGE, K.RECORD_LIST_TOO_LARGE}
LOST = {K.OFFSET_OUT_OF_RANGE, K._AUTO_OFFSET_RESET}
FENCED = {K._FENCED, K.FENCED_INSTANCE_ID, K.INVALID_PRODUCER_EPOCH, K.UNRELEASED_INSTANCE_ID}


def is_passing(error: KafkaError) -> bool:
    """Whether the client will get over it by itself: a broker that is down or slow, a leader that moved."""
    return not error.fatal() and (error.retriable() or error.code() in UNREACHABLE)


def kafka_error(
    error: KafkaError, settings: KafkaSettings, *, doing: str = "ask", topic: str = "", group: str = ""
) -> TransportError:
    """The sentence for an error of librdkafka. doing: a verb, e.g. `write to`; topic, group: as Kafka calls them."""
    code, said = error.code(), f"{error.str()} [{error.name()}]".replace("\n", " ")
    what = f"topic {topic}" if topic else f"group {group}" if group else "the brokers"
    where = f"{what} at {settings.brokers}" if topic or group else settings.brokers
    if code in FORBIDDEN or (code == K._FATAL and "authorization failed" in said):
        who = settings.security.username or settings.security.oauth.client_id or "this principal"
        return _error(
            "KAFKA_FORBIDDEN", f"{who} may not {doing} {what}", where,
            "Add the ACLs that `tidegate topics acl` prints for its role, with this principal",
        )  # fmt: skip
    if code in AUTHENTICATION:
        return _error(
            "KAFKA_AUTHENTICATION", f"credentials are not accepted: {said}", where,
            "Check kafka.security: mechanism, username, password, or the oauth client",
        )  # fmt: skip
    if code == K._SSL:
        return tls_error(said, where)
    if code in MISSING:
        return _error("TOPIC_MISSING", f"{what} is not there", where, "Run `tidegate topics create`")
    if code in TOO_LARGE:
        return _error(
            "MESSAGE_TOO_LARGE", f"a message is larger than {what} takes", where,
            "Run `tidegate topics describe`, then `tidegate topics create --alter`",
        )  # fmt: skip
    if code in TOO_OLD:
        return _error("BROKER_TOO_OLD", f"cannot {doing} {what}: {said}", where, "Use Kafka 2.1 or newer, 4.0 or newer "
                      "for kafka.group_protocol: consumer")  # fmt: skip
    if code == K._FATAL and "ConsumerGroup" in said and "not supported" in said:
        return no_consumer_protocol(where)
    if code in LOST:
        return _error(
            "OFFSET_LOST", f"what should be read next is no longer there: {said}", where,
            "Retention was shorter than the outage: rebuild from the oldest message, and keep topics longer",
        )  # fmt: skip
    if code == K.UNRELEASED_INSTANCE_ID or (code == K._FATAL and "instance ID is still used" in said):
        return _error(
            "KAFKA_FENCED",
            f"the name {settings.instance_id or 'of this member'} is still taken, by another process or by one that "
            "was killed a moment ago", where,
            "Give each process its own kafka.instance_id. Whoever was killed is let in again when its session has "
            "ended: group.consumer.session.timeout.ms of the broker",
        )  # fmt: skip
    if code in FENCED:
        return _error("KAFKA_FENCED", f"another process took this name: {said}", where, "Give each process its own "
                      "kafka.instance_id")  # fmt: skip
    if code in UNREACHABLE:
        return unreachable(said, where)
    return _error("KAFKA_FAILED", f"cannot {doing} {what}: {said}", where, "See the log of the broker")


def unreachable(said: str, where: str) -> TransportError:
    return _error("KAFKA_UNREACHABLE", f"no broker answers: {said}", where, "Check the address (--brokers or "
                  "kafka.brokers) and that Kafka runs")  # fmt: skip


def tls_error(said: str, where: str) -> TransportError:
    return _error("KAFKA_TLS", f"no TLS connection: {said}", where, "Check kafka.security: protocol, ca_file, "
                  "cert_file and key_file, and that the certificate of the broker names this host")  # fmt: skip


def too_old(said: str, where: str, todo: str) -> TransportError:
    return _error("BROKER_TOO_OLD", said, where, todo)


def no_consumer_protocol(where: str) -> TransportError:
    return too_old(
        "kafka.group_protocol is 'consumer' and the broker does not offer it (KIP-848)", where,
        "Use Apache Kafka 4.0 or newer with feature group.version=1 and group.coordinator.rebalance.protocols=classic,"
        "consumer, or set kafka.group_protocol: classic",
    )  # fmt: skip


def _error(code: str, what: str, where: str, todo: str) -> TransportError:
    return TransportError(what, where=where, todo=todo, code=code)
