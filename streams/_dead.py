"""Dead letters: what could not be used is kept with its bytes, its reason and where it came from, and is counted."""

from collections import Counter

from schemas import DEAD_LETTERS, DeadLetter, headers_of, record_id, sha256
from schemas.core import Emit, Message

LETTER = "tidegate-dead-letter"
TOPIC = "tidegate-topic"
ORIGINAL = "original-"
MOST_SOURCES, OTHERS = 200, "<other>"


def of_message(message: Message, *, reason: str, what: str, stage: str) -> Emit:
    """The whole message, with its own headers kept under `original-`, so that it can be sent again as it was."""
    letter = DeadLetter(
        id=record_id("dead-letter", message.topic, message.partition, message.offset, sha256(message.value)),
        reason=reason, what=what[:500],
        source=message.header("tidegate-source") or f"{message.topic}/{message.partition}",
        stage=stage, content="message", count=1, event_ns=message.received_ns, sha256=sha256(message.value),
    )  # fmt: skip
    return _emit(letter, message.value, message.topic, tuple((ORIGINAL + name, v) for name, v in message.headers))


def of_samples(frame: bytes, *, count: int, reason: str, what: str, stage: str, source: str, event_ns: int) -> Emit:
    """Samples of one reason as a frame."""
    letter = DeadLetter(
        id=record_id("dead-letter", stage, reason, source, event_ns, sha256(frame)), reason=reason, what=what[:500],
        source=source, stage=stage, content="frame", count=count, event_ns=event_ns, sha256=sha256(frame),
    )  # fmt: skip
    return _emit(letter, frame, "", ())


def _emit(letter: DeadLetter, value: bytes, topic: str, original: tuple[tuple[str, bytes], ...]) -> Emit:
    attributes = headers_of(letter, id=letter.id, source=f"tidegate/{letter.stage}", event_ns=letter.event_ns)
    described = tuple(h for h in attributes if h[0] != "content-type")
    headers = (*described, (LETTER, letter.to_bytes()), (TOPIC, topic.encode()), *original)
    return Emit(DEAD_LETTERS, letter.source.encode(), value, headers, letter.event_ns)


def count(letters: Counter[tuple[str, str]], emit: Emit) -> None:
    """Count a letter by reason and source; beyond `MOST_SOURCES` pairs sources together, because they become labels."""
    reason = DeadLetter.from_bytes(dict(emit.headers)[LETTER]).reason
    pair = reason, emit.key.decode("utf-8", "replace")
    letters[pair if pair in letters or len(letters) < MOST_SOURCES else (reason, OTHERS)] += 1


def letter_of(message: Message) -> DeadLetter:
    """The header of a dead letter. Raises RecordInvalid if the message is none."""
    return DeadLetter.from_bytes(message.header(LETTER).encode())
