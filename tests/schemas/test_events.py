"""Control records are CloudEvents that the CloudEvents SDK reads as they were meant."""

from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat

from schemas import FEEDBACK, Feedback, RecordInvalid, Watermark, emit, emit_texts, read, record_type, rfc3339
from schemas.core import Emit, Message

RECORD = Feedback(id="f-1", incident_id="i-1", verdict="right", said_by="ada", said_ns=1_674_987_610_000_000_001)
SENT = emit(FEEDBACK, RECORD, id="f-1", key="a-1", source="tidegate/console", event_ns=RECORD.said_ns)


def received(sent: Emit, **changed: bytes) -> Message:
    headers = tuple((name, changed.get(name, value)) for name, value in sent.headers)
    return Message(sent.topic, 0, 7, sent.key, sent.value, headers, sent.event_ns, 0)


def sdk(sent: Emit) -> kafka.BaseCloudEvent:
    return kafka.from_kafka(kafka.KafkaMessage(dict(sent.headers), sent.key, sent.value), JSONFormat(), None)


def test_the_sdk_reads_the_attributes_that_were_meant() -> None:
    event = sdk(SENT)
    assert (event.get_id(), event.get_source(), event.get_type()) == ("f-1", "tidegate/console", "io.tidegate.feedback")
    assert event.get_specversion() == "1.0" and event.get_datacontenttype() == "application/json"
    assert event.get_dataschema() == "urn:tidegate:schema:feedback:1"
    assert event.get_time() == datetime(2023, 1, 29, 10, 20, 10, tzinfo=UTC)
    assert event.get_extension("partitionkey") == "a-1"


def test_the_sdk_reads_the_data_that_was_meant() -> None:
    assert Feedback.model_validate(sdk(SENT).get_data()) == RECORD


def test_an_event_survives_the_structured_mode_of_the_sdk() -> None:
    structured = kafka.to_structured(sdk(SENT), JSONFormat(), key_mapper=lambda event: SENT.key)
    back = kafka.from_kafka(structured, JSONFormat(), None)
    assert Feedback.model_validate(back.get_data()) == RECORD
    assert (back.get_id(), back.get_type(), back.get_time()) == ("f-1", "io.tidegate.feedback", sdk(SENT).get_time())


def test_reading_an_event_gives_the_record() -> None:
    assert read(received(SENT)) == RECORD


def test_a_suffix_names_the_step_and_not_another_record() -> None:
    mark = Watermark(stage="decide", through_ns=5)
    sent = emit(FEEDBACK, mark, id="w", key="", source="s", event_ns=5, type_suffix=".said")
    assert sdk(sent).get_type() == "io.tidegate.watermark.said"
    assert record_type(received(sent)) == "watermark"


def test_what_is_no_cloud_event_of_ours_has_no_type() -> None:
    assert record_type(Message("t", 0, 0, b"", b"", (), 0, 0)) == ""
    assert record_type(received(SENT, ce_type=b"com.example.thing")) == ""


def test_an_unknown_record_type_is_refused_with_its_place() -> None:
    unknown = received(SENT, ce_type=b"io.tidegate.novelty", ce_dataschema=b"urn:tidegate:schema:novelty:1")
    with pytest.raises(RecordInvalid, match=r"tidegate.feedback.v1/0@7: unknown record type 'io.tidegate.novelty'"):
        read(unknown)


def test_records_that_are_bytes_already_are_enveloped_like_others() -> None:
    one = emit(FEEDBACK, RECORD, id="f-1", key="f-1", source="tidegate/console", event_ns=RECORD.said_ns)
    many = emit_texts(
        FEEDBACK,
        Feedback,
        [RECORD.to_bytes()] * 2,
        [b"f-1", b"f-2"],
        source="tidegate/console",
        event_ns=RECORD.said_ns,
    )
    assert many[0] == one
    assert dict(many[1].headers) == dict(one.headers) | {"ce_id": b"f-2"} and many[1].key == b"f-2"


@pytest.mark.parametrize(
    ("ns", "text"), [(-1, "1969-12-31T23:59:59.999999999Z"), (0, "1970-01-01T00:00:00.000000000Z")]
)
def test_times_before_the_epoch_are_times(ns: int, text: str) -> None:
    assert rfc3339(ns) == text
