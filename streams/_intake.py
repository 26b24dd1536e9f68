"""How senders reach a source over HTTP: paths, media types, limits, how they sign and what they expect to hear.

A declaration beside the decoder, in the file of the source, so that whoever adds a system edits one file. The gateway
does what is declared; nothing here touches a request. A source says `intake = Intake(...)` to be reached at all.
Sources: RFC 9110 (status codes), RFC 2104 (HMAC); how each system signs stands in its own file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from schemas.core import Message
from streams._decoded import Decoded
from streams._errors import SourceError

HTTP = "http-"
"""Prefix of request headers that are kept beside a body in the log: `http-x-github-event`."""
TRUST = "tidegate-trust"
"""Header of a message: trust class of its sender, `0` to `3` (see `schemas.SeriesDef.trust`); absent is 1."""
JSON_TYPE, PROTOBUF_TYPE = "application/json", "application/x-protobuf"


class Signature(NamedTuple):
    """How a system signs what it posts: hex HMAC over `signed`, or the bare secret in a header.

    header: where it stands; several values, separated by commas, are the turn from one secret to the next.
    prefix: before each value, for example `sha256=`. signed: what the HMAC is over, with `{body}` and, where the system
    has one, `{timestamp}` out of the header `timestamp` (Unix seconds); older than the replay window is refused.
    """

    header: str
    prefix: str = ""
    algorithm: Literal["sha256", "sha512", "sha1", "secret"] = "sha256"
    timestamp: str = ""
    signed: bytes = b"{body}"


class Reply(NamedTuple):
    """What a sender is told: status, headers, body, media type."""

    status: int = 204
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class Intake:
    """paths: where it listens, exact, each of one source only.

    media_types: what it reads, lower case; a `;proto=` parameter counts, all other parameters do not.
    max_bytes: of one body, unpacked; the limit of the gateway counts as well. codings: content codings that the source
    undoes itself (gzip and none are undone by the gateway). keeps: request headers that `decode` needs, lower case;
    they stand in the message as `http-NAME`. reads_first: decode before the body is kept, and refuse with 400 and the
    sentence what cannot be decoded (right for senders that a person can mend); else it is kept and a dead letter.
    brings_series: decode before the body is kept all the same, to count the series that are new.
    signatures: how the system signs, the first whose header is there counts. delivery: header with an id that is the
    same when a delivery is sent again. event_types: CloudEvents whose type begins so come to this source from
    `/v1/events` as well, as structured JSON. status: of the answer, where the source has no `reply`. signal: what
    follows the sender's name in `tidegate-source`, the kind if empty. explains: a refusal as a google.rpc.Status in the
    encoding of the request, or as one line of text.
    """

    paths: tuple[str, ...]
    media_types: tuple[str, ...] = (JSON_TYPE,)
    max_bytes: int = 5 << 20
    codings: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    reads_first: bool = True
    brings_series: bool = False
    signatures: tuple[Signature, ...] = ()
    delivery: str = ""
    event_types: tuple[str, ...] = ()
    status: int = 204
    signal: str = ""
    explains: Literal["status", "text"] = "status"


@runtime_checkable
class Reached(Protocol):
    """A source that the gateway serves."""

    kind: str
    intake: Intake

    def decode(self, message: Message) -> Decoded: ...


@runtime_checkable
class Replying(Protocol):
    """A source whose senders expect more than a status."""

    def reply(self, headers: Mapping[str, str], decoded: Decoded | None) -> Reply:
        """What a sender of a body that is now kept hears. decoded: None if it was not read first."""
        ...


@runtime_checkable
class NamingSchemas(Protocol):
    """A source whose bodies say which version of conventions they follow."""

    def schema_urls(self, body: bytes) -> Mapping[str, int]:
        """How often a body names which; raises nothing."""
        ...


def json_of(body: bytes, code: str = "JSON_INVALID") -> Any:
    """A JSON body, UTF-8. Raises SourceError of this code for what is none, and for what nests too deep to read."""
    try:
        return json.loads(body)
    except RecursionError as error:
        raise SourceError("the JSON nests too deep to be read", todo="Send it flatter", code=code) from error
    except ValueError as error:
        raise SourceError(f"not JSON: {str(error)[:200]}", todo="Send UTF-8 JSON", code=code) from error


def trust_of(message: Message) -> int:
    """Trust class of the sender of a message, 0 to 3; 1 where the header is absent or none of these."""
    said = message.header(TRUST)
    return int(said) if said in ("0", "1", "2", "3") else 1
