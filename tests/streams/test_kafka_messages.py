"""A message is the same whichever transport brought it."""

import pytest
from confluent_kafka import Message as KafkaMessage
from hypothesis import given
from hypothesis import strategies as st

from schemas.core import Emit, Message
from streams._kafka_messages import headers_of, played_headers, to_message

MS = 1_000_000
NAMES = st.sampled_from(["ce_id", "tidegate-at", "tidegate-received", "tidegate-seq", "x"])
PAIRS = st.lists(st.tuples(NAMES, st.sampled_from([b"", b"7", b"soon", b"\xff"])), max_size=4).map(tuple)
NS = st.integers(0, (1 << 63) - 1)


def kafka(headers, ms: int = 5, key: bytes | None = b"k", value: bytes | None = b"v") -> KafkaMessage:
    return KafkaMessage("real", 1, 2, key, value, list(headers) or None, None, (1, ms))


@given(PAIRS, NS, NS)
def test_what_is_played_comes_back_as_it_was(headers, event_ns, received_ns):
    message = Message("t", 1, 2, b"k", b"v", headers, event_ns, received_ns)
    if headers[:1] and headers[0][0] in ("tidegate-at", "tidegate-received") and headers[0][1] == b"7":
        return  # such headers are times of ours, and no message that was read here begins with one
    assert to_message(kafka(played_headers(message)), "t") == message


@given(PAIRS, NS)
def test_a_record_of_ours_has_its_own_event_time_and_was_received_when_kafka_says(headers, event_ns):
    if headers[:1] and headers[0] == ("tidegate-received", b"7"):
        return
    found = to_message(kafka(headers_of(Emit("t", b"k", b"v", headers, event_ns))), "t")
    assert found == Message("t", 1, 2, b"k", b"v", headers, event_ns, 5 * MS)


def test_a_foreign_message_has_the_time_of_kafka_twice():
    assert to_message(kafka([("a", b"1")]), "t") == Message("t", 1, 2, b"k", b"v", (("a", b"1"),), 5 * MS, 5 * MS)


def test_what_is_not_there_is_empty():
    found = to_message(kafka([("a", None)], ms=-1, key=None, value=None), "t")
    assert found == Message("t", 1, 2, b"", b"", (("a", b""),), 0, 0)


@pytest.mark.parametrize("text", [b"", b"-1", b"1.5", b"9" * 19, b"9" * 5000, "٣".encode(), b" 1", b"1_0", None])
def test_a_time_that_is_none_is_a_strangers_header(text):
    found = to_message(kafka([("tidegate-at", text)]), "t")
    assert (found.headers, found.event_ns) == ((("tidegate-at", text or b""),), 5 * MS)
