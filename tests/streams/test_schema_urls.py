"""The schema that a body names, of whatever sender, and never an error."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from streams import is_known_schema
from streams._schema_urls import MOST_FIELDS, MOST_JSON, schema_urls

URL = "https://opentelemetry.io/schemas/1.26.0"
GOLDEN = Path(__file__).resolve().parents[1] / "golden/otlp"


def request(*resources):
    """Of each resource its url, and those of its scopes."""
    told = ExportMetricsServiceRequest()
    for url, *scopes in resources:
        resource = told.resource_metrics.add(schema_url=url)
        resource.resource.attributes.add(key="service.name").value.string_value = "cart"
        for scope in scopes:
            resource.scope_metrics.add(schema_url=scope).metrics.add(name="m", unit="1")
    return told


def test_resources_and_scopes_are_counted_and_those_that_name_none():
    told = request((URL, "", URL), ("", ""), ("", "https://example.com/1.0.0"))
    assert schema_urls(told.SerializeToString()) == {URL: 2, "": 1, "https://example.com/1.0.0": 1}


def test_json_says_the_same():
    tree = {
        "resourceSpans": [{"schemaUrl": URL, "scopeSpans": [{"schemaUrl": URL}, {}]}, {"scopeSpans": [{"spans": []}]}]
    }  # fmt: skip
    assert schema_urls(json.dumps(tree).encode()) == {URL: 2, "": 1}


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.body")), ids=lambda path: path.name)
def test_real_senders_name_one_or_none(path):
    body = path.read_bytes()
    found = schema_urls(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)
    assert found and all(url == "" or is_known_schema(url) for url in found)


def test_a_huge_body_costs_no_more_than_so_many_fields():
    assert sum(schema_urls(request(*[(URL,)] * (2 * MOST_FIELDS)).SerializeToString()).values()) <= MOST_FIELDS


def test_a_huge_json_body_is_not_parsed_for_it():
    body = json.dumps({"resourceSpans": [{"schemaUrl": URL}], "x": "x" * MOST_JSON}).encode()
    assert schema_urls(body) == {}


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda t: json.dumps([t]).encode()))
def test_nothing_makes_it_fail(body):
    assert all(isinstance(url, str) for url in schema_urls(body))


@given(st.integers(0, 200), st.binary(max_size=5))
def test_a_damaged_body_does_not_make_it_fail(at, put):
    body = request((URL, URL), ("", "")).SerializeToString()
    schema_urls(body[:at] + put + body[at + len(put) :])


def test_newer_conventions_than_were_read_are_not_known():
    assert not is_known_schema("https://opentelemetry.io/schemas/1.99.0") and not is_known_schema("")
