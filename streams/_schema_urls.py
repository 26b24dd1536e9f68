"""Which version of the semantic conventions a sender names: the `schema_url` of the resources and scopes of a body.

What is read does not depend on it (`_conventions.py` says why); it tells people which senders are behind, and which
name conventions that nobody here has looked at. Only the frame of a body is walked, never its points.
Source: OpenTelemetry, Telemetry Schemas; OTLP, `schema_url` is field 3 of Resource* and Scope*.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from streams._conventions import NEWEST
from streams._errors import SourceError
from streams._otlp_wire import looks_like_json
from streams._remote_wire import fields

MOST_FIELDS = 20_000
"""Fields looked at in one body: some milliseconds. What lies behind them is not counted."""
MOST_JSON = 1 << 20
"""Bytes of a JSON body that is looked at; a larger one would have to be parsed whole."""
_MOST_TEXT = 200
_OURS = re.compile(r"https?://opentelemetry\.io/schemas/(\d{1,4})\.(\d{1,4})\.\d{1,4}")
_INNER, _URL = 2, 3


def schema_urls(body: bytes) -> Mapping[str, int]:
    """How many resources and scopes of an OTLP body name which schema; under the empty string the resources of which
    neither they nor any of their scopes name one. What cannot be read counts for nothing; raises nothing.
    """
    try:
        if not looks_like_json(body):
            return _of_binary(body)
        return _of_json(json.loads(body)) if len(body) <= MOST_JSON else Counter()
    except (SourceError, ValueError, TypeError, AttributeError, RecursionError):
        return Counter()


def is_known(url: str) -> bool:
    """Whether these are conventions whose renamed attributes are read under the names that they have now.

    >>> is_known("https://opentelemetry.io/schemas/1.26.0"), is_known("https://example.com/schemas/1.26.0")
    (True, False)
    """
    found = _OURS.fullmatch(url)
    return found is not None and (int(found[1]), int(found[2])) <= NEWEST


def _of_binary(body: bytes) -> Counter[str]:
    found, left = Counter[str](), iter(range(MOST_FIELDS))

    def walk(at: int, end: int) -> Iterator[tuple[int, int, int]]:
        inside = ((n, a, b) for n, wire, a, b in fields(body, at, end) if wire == 2)
        for one, _ in zip(inside, left, strict=False):
            yield one

    for number, at, end in walk(0, len(body)):
        if number != 1:
            continue
        urls = list[str]()
        for inner, start, stop in walk(at, end):
            if inner == _URL:
                urls.append(_text(body[start:stop]))
            elif inner == _INNER:
                urls += [_text(body[a:b]) for n, a, b in walk(start, stop) if n == _URL]
        found.update(list(filter(None, urls)) or [""])
    return found


def _of_json(tree: Any) -> Counter[str]:
    found = Counter[str]()
    for resource in islice((one for key, rows in tree.items() if key.startswith("resource") for one in rows), 1000):
        scopes = (one for key, rows in resource.items() if key.startswith("scope") for one in rows)
        urls = [one.get("schemaUrl") or one.get("schema_url") for one in (resource, *islice(scopes, 1000))]
        found.update([url[:_MOST_TEXT] for url in urls if isinstance(url, str) and url] or [""])
    return found


def _text(raw: bytes) -> str:
    return raw[:_MOST_TEXT].decode("utf-8", "replace")
