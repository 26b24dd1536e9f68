"""The numba parser and the plain decoder give the same answer to any bytes."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.core import Message
from streams import SourceError
from streams._decoded import Rendered, rendered
from streams._otlp_wire import varint, wrap
from streams.sources.otlp_metrics import OtlpMetrics

pytest.importorskip("numba")
quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
FAST, PLAIN = OtlpMetrics(fast=True), OtlpMetrics(fast=False)


def ask(source: OtlpMetrics, value: bytes, tenant: str = "shop") -> Any:
    """The answer in a form that compares: bytes of columns, JSON of definitions; or the error's code and text."""
    try:
        d = source.decode(Message("otlp_metrics", 0, 0, b"", value, (("tidegate-tenant", tenant.encode()),), 0, 0))
    except SourceError as error:
        return error.code, str(error)
    h = d.histograms
    columns = (
        d.points.series,
        d.points.t,
        np.nan_to_num(d.points.value, nan=-12345.5),
        h.series,
        h.t,
        h.bucket,
        h.count,
    )
    ids = sorted(d.definitions)
    texts = dict(zip(ids, rendered(d.definitions, ids), strict=True))
    assert {i: Rendered.of(model) for i, model in d.definitions.items()} == texts
    return [(c.dtype.str, c.tobytes()) for c in columns], h.points, texts


def fixed(field: int, value: int) -> bytes:
    return varint(field << 3 | 1) + struct.pack("<Q", value)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def text(value: str) -> bytes:
    return wrap(1, value.encode())


def message(*fields: st.SearchStrategy[list[bytes]]) -> st.SearchStrategy[bytes]:
    """Encoded fields in the usual order, or in any order; now and then one that nobody knows."""
    parts = st.tuples(*fields).map(lambda lists: [part for one in lists for part in one])
    mixed = st.tuples(parts, unknown).map(lambda both: both[0] + both[1])
    return st.one_of(parts, parts, mixed.flatmap(st.permutations)).map(b"".join)


def some(field: int, inner: st.SearchStrategy[bytes], low: int = 0, high: int = 3) -> st.SearchStrategy[list[bytes]]:
    return st.lists(inner.map(lambda body: wrap(field, body)), min_size=low, max_size=high)


def maybe(strategy: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    return st.lists(strategy, max_size=1)


def enum(field: int, *values: int) -> st.SearchStrategy[list[bytes]]:
    return maybe(st.sampled_from(values).map(lambda value: number(field, value)))


u64 = st.one_of(st.sampled_from([0, 1, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))
unknown = st.lists(
    st.sampled_from([wrap(99, b"new"), number(300, 2**64 - 1), varint(98 << 3 | 5) + b"abcd"]), max_size=1
)
name = st.sampled_from(["a", "b", "code", "service.name", "k8s.pod.name", "service.version", "größe"])
texts = [text(value) for value in ("x", "y", "x", "y", "", '"', "\\\n", "\x7f", "ü")]
scalar = st.one_of(
    st.sampled_from([*texts, b"", number(2, 1), fixed(4, 0x3FF8000000000000)]),
    st.integers(0, 3).map(lambda v: number(3, v)),
)
value = st.one_of(
    scalar, scalar, st.lists(scalar, max_size=2).map(lambda vs: wrap(5, b"".join(wrap(1, v) for v in vs)))
)
attribute = message(name.map(lambda key: [text(key)]), some(2, value, 0, 1))
exemplar = message(some(7, attribute), maybe(u64.map(lambda v: fixed(2, v))), maybe(st.just(wrap(5, b"trace"))))
point = message(
    maybe(u64.map(lambda v: fixed(2, v))),
    maybe(u64.map(lambda v: fixed(3, v))),
    maybe(u64.map(lambda v: fixed(4, v))),
    maybe(u64.map(lambda v: fixed(6, v))),
    some(7, attribute),
    st.one_of(st.just([]), some(5, exemplar, 0, 1)),
    enum(8, 0, 1, 2, 3, 2**32 + 1, 300),
)
histogram_point = message(
    maybe(u64.map(lambda v: fixed(3, v))),
    maybe(st.integers(0, 9).map(lambda v: fixed(4, v))),
    maybe(st.just(fixed(5, 0x3FF0000000000000))),
    st.sampled_from([[], [fixed(6, 1), fixed(6, 2), fixed(7, 0x4000000000000000)], [fixed(6, 1), fixed(7, 0)]]),
    some(9, attribute),
)
summary_point = message(
    maybe(u64.map(lambda v: fixed(3, v))), some(6, st.just(fixed(1, 0x3FE0000000000000)), 0, 2), some(7, attribute)
)
gauge = message(some(1, point)).map(lambda body: [wrap(5, body)])
total = message(some(1, point), enum(2, 0, 1, 2, 9), enum(3, 0, 1, 2**64 - 1)).map(lambda body: [wrap(7, body)])
buckets = message(some(1, histogram_point, 1, 2), enum(2, 1, 2)).map(lambda body: [wrap(9, body)])
summary = message(some(1, summary_point, 1, 2)).map(lambda body: [wrap(11, body)])
data = st.one_of(
    gauge, total, gauge, total, buckets, summary, st.just([]), st.tuples(gauge, total).map(lambda p: p[0] + p[1])
)
metric = message(
    st.sampled_from([[text("m")], [text("n")], []]),
    st.sampled_from([[], [wrap(2, b"what it is")]]),
    st.sampled_from([[], [wrap(3, b"ms")], [wrap(3, b"s")]]),
    data,
)
scope = message(st.sampled_from([[], [wrap(1, text("lib"))]]), some(2, metric))
resource = message(some(1, attribute, 0, 3)).map(lambda body: [wrap(1, body)])
resource_metrics = message(
    st.one_of(st.just([]), resource), some(2, scope, 0, 2), st.sampled_from([[], [wrap(3, b"url")]])
)
request = message(some(1, resource_metrics))


@quick
@given(request)
def test_the_numba_parser_and_the_plain_decoder_agree(value: bytes):
    assert ask(OtlpMetrics(fast=True), value) == ask(OtlpMetrics(fast=False), value)


@quick
@given(st.lists(request, max_size=4))
def test_they_agree_whatever_was_seen_before(values: list[bytes]):
    for value in [*values, *values]:
        assert ask(FAST, value) == ask(PLAIN, value)


@quick
@given(request, st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3), st.integers(0, 3))
def test_flipped_and_missing_bytes_are_decoded_alike_or_are_one_source_error(
    value: bytes, flips: list[tuple[int, int]], cut: int
):
    ask(FAST, value)
    broken = bytearray(value)
    for position, byte in flips:
        if broken:
            broken[position % len(broken)] = byte
    whole = bytes(broken[: max(0, len(broken) - cut)])
    assert ask(FAST, whole) == ask(PLAIN, whole)


@quick
@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_alike_or_are_one_source_error(value: bytes):
    assert ask(FAST, value) == ask(PLAIN, value)


def usual(points: int, series: int, t: int = 0, wrapped: Callable[[bytes], bytes] = lambda p: wrap(5, p)) -> bytes:
    """A request of one gauge with labels a = 0, 1, 2, ..."""
    body = b""
    for i in range(points):
        attribute = wrap(7, text("a") + wrap(2, text(str(i % series))))
        body += wrap(1, fixed(3, t + i) + fixed(4, 0x3FF0000000000000 + i) + attribute)
    return wrap(1, wrap(2, wrap(2, text("m") + wrapped(body))))


def test_usual_messages_do_take_the_fast_way_also_when_their_series_are_new():
    source = OtlpMetrics(fast=True)
    source.plain = lambda data, tenant: pytest.fail("asked the plain decoder")  # type: ignore[method-assign]
    source._fast._plain = source.plain  # type: ignore[union-attr]
    assert ask(source, usual(10, 5, t=100)) == ask(PLAIN, usual(10, 5, t=100))


def test_a_large_message_and_a_growing_table_change_nothing():
    source = OtlpMetrics(fast=True)
    for series in (10, 3000, 20_000):
        value = usual(20_000, series)
        assert ask(source, value) == ask(PLAIN, value)


def test_a_full_table_forgets_and_goes_on():
    source = OtlpMetrics(fast=True)
    source._fast._keys_max = 50  # type: ignore[union-attr]
    for start in range(8):
        value = usual(40, 40, t=start).replace(b"a", bytes([ord("a") + start]))
        assert ask(source, value) == ask(PLAIN, value)
    assert sum(t.used for t in source._fast._tables.values()) <= 50  # type: ignore[union-attr]


@pytest.mark.parametrize("version", ["", "1.2.3", 'a"b', "ü"])
@pytest.mark.parametrize("labels", [{}, {"z": "1", "a": "", "version": "0"}, {f"k{i}": "v" for i in range(70)}])
def test_new_series_are_defined_alike_with_a_version_and_many_labels(version, labels):
    who = {"service.name": "cart", **({"service.version": version} if version else {})}
    resource = wrap(1, b"".join(wrap(1, text(k) + wrap(2, text(v))) for k, v in who.items()))
    point = fixed(3, 5) + fixed(4, 0) + b"".join(wrap(7, text(k) + wrap(2, text(v))) for k, v in labels.items())
    value = wrap(1, resource + wrap(2, wrap(2, text("m") + wrap(3, b"ms") + wrap(5, wrap(1, point)))))
    assert ask(OtlpMetrics(fast=True), value) == ask(OtlpMetrics(fast=False), value)


def test_order_of_attributes_makes_two_keys_but_one_series():
    a, b = wrap(7, text("a") + wrap(2, text("1"))), wrap(7, text("b") + wrap(2, text("2")))
    value = wrap(1, wrap(2, wrap(2, text("m") + wrap(5, wrap(1, a + b) + wrap(1, b + a)))))
    decoded = OtlpMetrics(fast=True).decode(Message("otlp_metrics", 0, 0, b"", value, (), 0, 0))
    assert len(set(decoded.points.series.tolist())) == len(decoded.definitions) == 1


def test_the_same_bytes_of_two_tenants_are_two_series():
    ids = [ask(FAST, usual(1, 1), tenant)[2].keys() for tenant in ("a", "b", "a")]
    assert ids[0] == ids[2] != ids[1]


def test_two_units_of_one_name_in_one_message_keep_the_first():
    def metric(unit: bytes) -> bytes:
        return wrap(2, text("m") + wrap(3, unit) + wrap(5, wrap(1, b"")))

    both, second = wrap(1, wrap(2, metric(b"s") + metric(b"ms"))), wrap(1, wrap(2, metric(b"ms")))
    for value, unit in ((both, "s"), (second, "ms"), (both, "s")):
        (definition,) = ask(FAST, value)[2].values()
        assert f'"unit":"{unit}"'.encode() in definition.text and ask(FAST, value) == ask(PLAIN, value)


def test_labels_above_the_limit_are_refused_on_both_ways():
    value = wrap(1, wrap(2, wrap(2, wrap(5, wrap(1, wrap(7, text("k") + wrap(2, text("x" * 2**20))))))))
    for _ in range(2):
        assert ask(FAST, value) == ask(PLAIN, value) and ask(FAST, value)[0] == "LABELS_TOO_LARGE"


def test_without_numba_by_choice_nothing_is_compiled_and_by_default_only_in_long_runs():
    assert OtlpMetrics(fast=False)._fast is None and OtlpMetrics()._fast is None
    source = OtlpMetrics()
    source._points_until_fast = 15
    for t in range(3):
        assert isinstance(ask(source, usual(10, 5, t)), tuple)
    assert source._fast is not None
