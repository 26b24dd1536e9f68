"""Play: a recording sent to a running `up`, over HTTP like any sender; record: the log of an `up` as a recording.

Played are the bytes that sources once sent. What stages made of them, and the marks of time that another run wrote,
stay behind: the run that is played to makes its own.
"""

import http.client
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import schemas as sc
from schemas import why
from schemas.core import NS, Message
from streams import KIND, EmbeddedLog, Recording, RecordingWriter
from tidegate import __version__
from tidegate._errors import PlayError
from tidegate._gateway import SIGNALS
from tidegate._http import JSON, PROTOBUF
from tidegate._live import open_existing
from tidegate._reading import address_of, bearer
from tidegate._replay import REFERENCE

SOURCE_TOPICS = (sc.OTLP_METRICS, sc.OTLP_LOGS, sc.OTLP_SPANS, sc.RAW)
_PATHS = {kind: f"/v1/{signal}" for signal, kind in SIGNALS.items()} | {"records": "/v1/events"}
_MADE_HERE = "tidegate/"
WAIT_S = 60.0
_TIMEOUT_S, _FIRST_S, _MOST_S = 30.0, 0.2, 10.0
_NO_MORE_S = 1e-3  # less left than this is none
_SKIPPABLE = frozenset({400, 413, 415})
_PROGRESS = 100


@dataclass(slots=True)
class Played:
    """What became of the messages. refused: by HTTP status; skipped: marks and what stages had made, by topic."""

    sent: int = 0
    bytes: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    first_refusal: str = ""
    skipped: Counter[str] = field(default_factory=Counter)
    waited: int = 0
    """How often the other side asked to come again, or could not be reached."""
    resumed: int = 0
    """Messages that lay on Kafka already, from an earlier start."""
    event_time_s: float = 0.0

    def document(self) -> dict[str, Any]:
        """As `play --json` prints it."""
        return {
            "sent": self.sent, "bytes": self.bytes, "refused": dict(self.refused), "first_refusal": self.first_refusal,
            "skipped": dict(self.skipped), "waited": self.waited, "resumed": self.resumed,
            "event_time_s": round(self.event_time_s, 3),
        }  # fmt: skip


class Post(NamedTuple):
    """One request to make."""

    path: str
    headers: dict[str, str]
    body: bytes


def play(
    recording: Recording, url: str, *, speed: float = 1.0, token: str = "", wait_s: float = WAIT_S,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_wait: Callable[[str, float | None], None] = lambda what, left_s: None,
    now_s: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> Played:  # fmt: skip
    """Send every recorded source message in its order, spaced as it was received, divided by `speed`.

    speed: 0 sends as fast as is accepted. Told to come again (429, 503) it waits as long as it is told, for ever; not
    reached at all it tries for `wait_s`. on_progress: messages looked at, and how many there are. on_wait: at the first
    failure of a message, why it is sent again, and for how long that is tried; None is for ever.
    Raises PlayError: PLAY_UNREACHABLE, PLAY_REFUSED (no token will do), PLAY_EMPTY; RecordingError.
    """
    played, client = Played(), _Client(url, token, wait_s, on_wait, now_s, sleep)
    names = [name for name in recording.topics() if name in (*SOURCE_TOPICS, *REFERENCE)]
    total = sum(recording.topics()[name].rows for name in names)
    started_s, first_ns, done = now_s(), 0, 0
    try:
        for message in recording.messages(names):
            done += 1
            request = request_of(message)
            if request is None:
                played.skipped[message.topic] += 1
                continue
            first_ns = first_ns or message.received_ns
            played.event_time_s = (message.received_ns - first_ns) / NS
            if speed and (early_s := started_s + played.event_time_s / speed - now_s()) > 0:
                sleep(early_s)
            client.send(request, played)
            if done % _PROGRESS == 0:
                on_progress(done, total)
    finally:
        client.close()
    if not played.sent and not played.refused:
        raise PlayError("nothing to play: no message of a source", where=str(recording.path), code="PLAY_EMPTY")
    on_progress(total, total)
    return played


def request_of(message: Message) -> Post | None:
    """How a message is sent again; None for what must not be: marks, and what stages made."""
    kind = message.header(KIND)
    if not kind and sc.record_type(message) in ("watermark", "coverage"):
        return None
    if message.topic in REFERENCE:
        if message.header("ce_source").startswith(_MADE_HERE):
            return None
        kind = "records"
    path = _PATHS.get(kind or message.topic)
    if path is None:
        return None
    if kind == "records":
        told = {f"ce-{name[3:]}": _quoted(value) for name, value in message.headers if name.startswith("ce_")}
        return Post(path, {**told, "Content-Type": JSON}, message.value)
    is_json = message.value[:64].lstrip(b" \t\r\n")[:1] == b"{"
    return Post(path, {"Content-Type": JSON if is_json else PROTOBUF}, message.value)


def record(
    directory: Path, out: Path, *, topics: tuple[str, ...] | None = None, final: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:  # fmt: skip
    """Turn the log of `up` into a recording, also while `up` runs; returns how many records of each topic.

    topics: only these; all without, marks included. final: end each source topic, so that a replay closes every
    window; without, a replay ends where the live run stood. Raises LiveError, RecordingError, PlayError.
    """
    log = open_existing(directory)
    try:
        known = log.topics()
        missing = sorted(set(topics or ()) - set(known))
        if missing:
            todo = f"Topics of this log: {', '.join(known) or 'none'}"
            raise PlayError(f"there is no topic '{missing[0]}' in the log", where=str(directory), todo=todo)
        wanted = [name for name in known if topics is None or name in topics]
        return _copy(log, wanted, out, final, on_progress)
    finally:
        log.close()


def _copy(
    log: EmbeddedLog, wanted: list[str], out: Path, final: bool, on_progress: Callable[[int, int], None]
) -> dict[str, int]:
    until = log.last()  # what comes while we copy is left for another time
    counts: Counter[str] = Counter()
    total, _ = log.behind(wanted, 0) if wanted else (0, 0)
    newest: dict[tuple[str, int], tuple[int, int]] = {}
    with RecordingWriter(out, created_by=f"tidegate {__version__} record") as writer:
        after = 0
        while wanted and (batch := log.read(wanted, after, 1000)):
            for stored in batch:
                if stored.sequence > until:
                    break
                message = stored.message
                writer.append(message)
                counts[message.topic] += 1
                received = max(message.received_ns, newest.get((message.topic, message.partition), (0, 0))[1])
                newest[message.topic, message.partition] = message.offset + 1, received
            after = batch[-1].sequence
            on_progress(min(counts.total(), total), total)
            if after > until:
                break
        for mark in final_marks(newest) if final else ():
            writer.append(mark)
            counts[mark.topic] += 1
    return dict(counts)


def final_marks(newest: Mapping[tuple[str, int], tuple[int, int]]) -> Iterator[Message]:
    """A final mark for each partition of a source topic, after the last that came on any of them."""
    ends = {place: end for place, end in newest.items() if place[0] in SOURCE_TOPICS}
    last = max((received for _, received in ends.values()), default=0)
    for (topic, partition), (offset, _) in sorted(ends.items()):
        mark = sc.Watermark(stage=f"source:{topic}/{partition}", through_ns=last, final=True)
        identity = sc.record_id("watermark", mark.stage, last, "final")
        emit = sc.emit(topic, mark, id=identity, key="", source=f"{_MADE_HERE}record", event_ns=last)
        yield Message(topic, partition, offset, emit.key, emit.value, emit.headers, last, last)


class _Client:
    """One connection, kept open; opened again when it breaks."""

    def __init__(
        self, url: str, token: str, wait_s: float, on_wait: Callable[[str, float | None], None],
        now_s: Callable[[], float], sleep: Callable[[float], None],
    ) -> None:  # fmt: skip
        parts = address_of(url)
        if parts is None:
            todo = "Give the address of `tidegate up`: http://host:4318"
            raise PlayError(f"'{url[:200]}' is not a URL", todo=todo)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        self._url, self._base = url, parts.path.rstrip("/")
        self._headers = bearer(token)
        self._wait_s, self._on_wait, self._now_s, self._sleep = wait_s, on_wait, now_s, sleep

    def send(self, post: Post, played: Played) -> None:
        """Until it is taken or refused for what it is."""
        lost_s, left_s, backoff, is_told = self._now_s(), self._wait_s, _FIRST_S, False
        while True:
            what = ""
            try:
                status, after_s, said = self._once(post, left_s)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                left_s = self._wait_s - (self._now_s() - lost_s)
                if left_s < _NO_MORE_S:
                    lasting = f" for {self._wait_s:.0f} s" if self._wait_s else ""
                    todo = "Is `tidegate up` running there?"
                    said = f"not reached{lasting}: {why(error)}"
                    raise PlayError(said, where=self._url, todo=todo, code="PLAY_UNREACHABLE") from error
                after_s, status, what = min(backoff, left_s), 0, why(error)
            else:
                lost_s, left_s = self._now_s(), self._wait_s
            if 200 <= status < 300:
                played.sent, played.bytes = played.sent + 1, played.bytes + len(post.body)
                return
            if status in _SKIPPABLE:
                played.refused[str(status)] += 1
                played.first_refusal = played.first_refusal or said
                return
            if status not in (0, 408, 429, 502, 503, 504):
                todo = "Give --token one of gateway.tokens" if status in (401, 403) else "Is it `tidegate up`?"
                raise PlayError(f"answered {status}: {said}", where=self._url, todo=todo, code="PLAY_REFUSED")
            played.waited += 1
            if not is_told:
                is_told = True
                self._on_wait(what or f"asks to come again ({status})", left_s if what else None)
            self._sleep(after_s or backoff)
            backoff = min(backoff * 2, _MOST_S)

    def _once(self, post: Post, left_s: float) -> tuple[int, float, str]:
        if self._connection.sock is None:
            self._open(max(1.0, min(_TIMEOUT_S, left_s)))
        self._connection.request("POST", self._base + post.path, post.body, {**post.headers, **self._headers})
        response = self._connection.getresponse()
        body = response.read(65_536)
        said = response.headers.get("Retry-After", "")
        return response.status, float(said) if said.isdigit() else 0.0, _sentence(body) or response.reason

    def _open(self, timeout_s: float) -> None:
        self._connection.timeout = timeout_s
        self._connection.connect()
        self._connection.sock.settimeout(_TIMEOUT_S)

    def close(self) -> None:
        self._connection.close()


def _sentence(body: bytes) -> str:
    """What people can read of a refusal, whichever encoding it has."""
    text = body.decode("utf-8", "replace")
    return "".join(c for c in text if c.isprintable())[:300].strip()


def _quoted(value: bytes) -> str:
    """A header value as the HTTP binding of CloudEvents wants it: what is not printable ASCII, percent-encoded."""
    keep = set(range(0x21, 0x7F)) - {0x22, 0x25}
    return "".join(chr(byte) if byte in keep else f"%{byte:02X}" for byte in value)
