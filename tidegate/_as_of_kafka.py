"""What was in force on Kafka, and since when: `as-of.json` of every deployment that there was, in a topic.

A process of `tidegate run` that starts with other settings, policies, runbooks or artefacts than the newest record in
the topic of snapshots says so there, before it does anything. So a stretch of Kafka can be replayed with what was in
force then (`tidegate replay --brokers B --as-of kafka`), and a recording of it gets the document beside it.
The time of a record is that of the clock of the process; whoever played old telemetry in chooses by digest.
"""

import base64
import json
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import schemas as sc
from schemas.core import Message
from tidegate import __version__, _as_of, _history
from tidegate._errors import NotFoundError
from tidegate._settings import Settings
from tidegate._shards import Deployment

if TYPE_CHECKING:
    from streams import kafka

NAME = "kafka"
"""What `--as-of` says for it; `kafka:DIGEST` for the one with that digest."""
_SOURCE = "tidegate/run"
_LARGEST = 900_000
"""Bytes of a record; a message on the topic may have a mebibyte."""


def tell(
    settings: Settings, deployed: Deployment, say: Callable[..., None], now_ns: Callable[[], int] = time.time_ns
) -> sc.InForce | None:
    """Write what is in force now, unless it is what the newest record says; what was written, or None.

    Raises TransportError.
    """
    from streams import kafka  # the extra `kafka` may be absent

    data = _as_of.data_of(_as_of.kept(settings))
    digest = sc.sha256(data)
    with kafka.KafkaHistory(deployed.kafka) as history:
        known = found(history)
    if known and known[-1].sha256 == digest:
        return None
    at = now_ns()
    record = sc.InForce(
        id=sc.record_id("in-force", digest, at), at_ns=at, code=__version__, shaped_by=deployed.shaped_by,
        sha256=digest, document=base64.b64encode(zlib.compress(data, 9)).decode(),
    )  # fmt: skip
    if len(record.document) > _LARGEST:
        say("not kept what is in force", bytes=len(record.document), most=_LARGEST)
        return None
    emit = sc.emit(sc.SNAPSHOTS, record, id=record.id, key=f"in-force/{at}", source=_SOURCE, event_ns=at)
    with kafka.KafkaWriter(deployed.kafka) as writer:
        writer.write(Message(emit.topic, 0, 0, emit.key, emit.value, emit.headers, at, at), 0)
    say("what is in force was kept", digest=digest)
    return record


def found(history: "kafka.KafkaHistory") -> list[sc.InForce]:
    """Every record, oldest first."""
    if sc.SNAPSHOTS not in history.partitions():
        return []
    told = (sc.read(m) for m in history.messages([sc.SNAPSHOTS]) if sc.record_type(m) == sc.InForce.TYPE)
    return sorted((one for one in told if isinstance(one, sc.InForce)), key=lambda one: (one.at_ns, one.id))


def chosen(known: Sequence[sc.InForce], name: str, until_ns: int = 0) -> sc.InForce:
    """The one that a name like `kafka:3fa9` means; of none the last that was said by `until_ns`, or else the first.

    until_ns: 0 is now. Raises NotFoundError.
    """
    where = f"topic {sc.SNAPSHOTS}"
    prefix = name.partition(":")[2].removeprefix("sha256:")
    fits = [one for one in known if one.sha256.removeprefix("sha256:").startswith(prefix)]
    if not known or (prefix and len({one.sha256 for one in fits}) != 1):
        said = ", ".join(f"{one.sha256[7:19]} since {sc.rfc3339(one.at_ns)[:19]}Z" for one in known) or "none"
        raise NotFoundError(
            f"of what was in force '{name}' names {'nothing' if not fits else 'several'}", where=where,
            todo=f"There is: {said}",
        )  # fmt: skip
    if prefix:
        return fits[-1]
    return next((one for one in reversed(known) if not until_ns or one.at_ns <= until_ns), known[0])


def data_of(record: sc.InForce) -> bytes:
    """The document. Raises ValueError, zlib.error if it is none."""
    return zlib.decompress(base64.b64decode(record.document, validate=True))


@contextmanager
def settings_of(settings: Settings, brokers: str, name: str, until_ns: int) -> Iterator[tuple[Settings, sc.InForce]]:
    """The settings that were in force, and the record. Raises RunError, NotFoundError, TransportError."""
    with _history.open_history(settings, brokers) as history:
        record = chosen(found(history), name, until_ns)
    try:
        data = data_of(record)
    except (ValueError, zlib.error) as error:
        raise _as_of.unreadable(error, record.id) from error
    with _as_of.settings_from(data, f"record {record.id}") as read:
        yield read, record


def document_of(history: "kafka.KafkaHistory", until_ns: int) -> dict[str, Any] | None:
    """What was in force at the end of a stretch, for the directory of a recording; None where nobody said."""
    known = found(history)
    if not known:
        return None
    document: dict[str, Any] = json.loads(data_of(chosen(known, NAME, until_ns)))
    return document
