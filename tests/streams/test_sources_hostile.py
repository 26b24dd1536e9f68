"""Whatever is posted to a source, it decodes it or raises SourceError: a little of `python -m bench.fuzz` for each."""

import pytest

import schemas as sc
from bench.fuzz import body, packed, seeds_of
from schemas.core import Message
from streams import SourceError, json_of
from tidegate import _catalogue

SOURCES = _catalogue.find("sources")
T = 1_790_000_000_000_000_000
NINES = b"9" * 400
BODIES = [
    b"", b'{"metrics": [{"service": "a", "name": "b", "value": ' + NINES + b"}]}", b"[" * 200_000, b'{"a":' * 100_000,
    b'{"x": ' + NINES * 20 + b"}", b"\xff\xfe", b"null", b"[]", b'"x"',
]  # fmt: skip


def is_refused(source, value, headers=()):
    """Whether it was; anything but SourceError ends the test."""
    try:
        source.decode(Message(sc.RAW, 0, 0, b"", value, headers, T, T))
    except SourceError as error:
        assert error.code and error.what
        return True
    return False


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_decodes_damaged_bodies_or_refuses_them_with_a_code_and_nothing_else(kind):
    seeds, refused = seeds_of(kind), 0
    for n in range(150):
        value, headers = body(kind, n, seeds)
        refused += is_refused(SOURCES[kind], packed(value) if kind == "prometheus" else value, headers)
    assert refused > 20


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("value", BODIES, ids=lambda value: value[:12].hex() or "empty")
def test_deep_endless_and_empty_bodies_end_nothing(kind, value):
    headers = seeds_of(kind)[0][1]
    is_refused(SOURCES[kind], value, headers)


def test_json_is_only_as_deep_as_can_be_read():
    with pytest.raises(SourceError, match="deep"):
        json_of(b"[" * 200_000)
