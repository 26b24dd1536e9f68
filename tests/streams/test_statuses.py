"""Requests that are counted by status: the share that failed is a series of its own."""

import numpy as np
import pytest
from support.windows import START, frame

import schemas as sc
from detectors import Detect
from detectors.error_ratio import ErrorRatio
from schemas.core import NS
from streams import Windower, WindowState, made_of
from streams._split import part_of_windows

SERVICE = "default/service/a"


def counter(code, name="http_requests_total", label="code", **labels):
    labels = dict(sorted({**labels, label: code}.items()))
    number = sc.series_id("default", SERVICE, name, labels)
    return sc.SeriesDef(
        id=f"{number:016x}", entity_id=SERVICE, service="a", name=name, labels=labels, kind="count",
        temporality="cumulative",
    )  # fmt: skip


OK, LOST, BAD = counter("200"), counter("404"), counter("500")
ALL = (OK, LOST, BAD)


def played(rows, defs=ALL, state=None, fast=False):
    """Rows of values, one a definition, None for no sample; the state, and what each pane says by name of series."""
    windower, state, found = Windower("test"), state or WindowState(), []
    if fast:
        windower.use_kernels()
    begun = state.through_ns or START
    for k, row in enumerate(rows):
        samples = [(int(d.id, 16), begun + k * 10 * NS, v) for d, v in zip(defs, row, strict=True) if v is not None]
        windower.add(state, frame(samples, list(defs)))
        for block in windower.close(state, begun + (k + 1) * 10 * NS):
            if block.end_ns - block.start_ns == 10 * NS:
                at = [state.registry.definition(row) for row in block.rows.tolist()]
                said = zip(at, block.total.tolist(), block.weight.tolist(), block.weight_before.tolist(), strict=True)
                found.append({d.labels.get("code", d.name): rest for d, *rest in said})
    return state, found


ROWS = [(0, 0, 0), (90, 5, 5), (190, 5, 5), (280, 10, 15)]


def test_the_errors_of_a_pane_are_a_share_of_all_requests_of_that_pane():
    _, found = played(ROWS)
    assert [pane["http_requests_errors"][:2] for pane in found[1:]] == [[5, 100], [0, 100], [10, 105]]


def test_they_are_series_of_their_own_without_the_status():
    state, _ = played(ROWS)
    whole, errors = (state.registry.definition(row) for row in (3, 4))
    assert (whole.name, errors.name, errors.labels) == ("http_requests_all", "http_requests_errors", {})
    assert errors.denominator == whole.id and whole.denominator is None


def test_a_group_begins_with_what_its_series_had_seen_before():
    rows = [(0, 0, None), (100, 0, None), (200, 0, 1), (300, 0, 7)]
    _, found = played(rows)
    assert str([pane.get("http_requests_errors", [None])[0] for pane in found]) == "[None, None, nan, 6.0]"
    assert found[-1]["http_requests_errors"][2] == 200  # requests before this pane


def test_other_labels_make_other_groups_and_those_without_errors_none():
    defs = counter("200", path="/a"), counter("500", path="/a"), counter("200", path="/b")
    state, found = played([(0, 0, 0), (90, 10, 50)], defs)
    assert len(state.groups) == 1 and len(state.registry) == 5
    assert found[-1]["http_requests_errors"][:2] == [10, 100]


def test_a_senders_own_of_both_names_stand():
    own = [counter("200", name=f"http_requests_{end}") for end in ("all", "errors")]
    own = [one.model_copy(update={"labels": {}, "id": f"{sc.series_id('default', SERVICE, one.name, {}):016x}"})
           for one in own]  # fmt: skip
    _, found = played([(0, 0, 0, 0), (7, 3, 90, 10), (14, 6, 180, 20)], (*own, OK, BAD))
    assert [found[-1][one.name][0] for one in own] == [7, 3]


def test_statuses_that_speak_later_join_their_group():
    _, found = played([(0, None, 0), (90, None, 10), (180, 0, 20), (270, 30, 30)])
    assert found[-1]["http_requests_errors"][:2] == [10, 130]


@pytest.mark.parametrize(
    ("name", "label", "derived"),
    [
        ("http_request_duration_seconds_count", "status_code", "http_request_errors"),
        ("http_server_requests_seconds_count", "status", "http_server_requests_errors"),
        ("http.server.request.duration.count", "http.response.status_code", "http.server.request.errors"),
        ("istio_requests_total", "response_code", "istio_requests_errors"),
    ],
)
def test_counts_of_histograms_and_of_a_mesh_are_requests_as_well(name, label, derived):
    state, _ = played([(0, 0), (90, 10)], (counter("200", name, label), counter("503", name, label)))
    assert derived in {state.registry.definition(row).name for row in range(len(state.registry))}


@pytest.mark.parametrize("name", ["http_client_requests_total", "jobs_total", "http.client.request.duration.count"])
def test_what_a_client_counts_and_what_are_no_requests_make_none(name):
    assert not played([(0, 0), (90, 10)], (counter("200", name), counter("500", name)))[0].groups


def test_a_failure_of_opentelemetry_bears_a_type_that_the_others_do_not_have():
    name, label = "http.server.request.duration.count", "http.response.status_code"
    defs = counter("200", name, label), counter("500", name, label, **{"error.type": "500"})
    state, _ = played([(0, 0), (90, 10)], defs)
    assert sorted(state.adds.source.tolist()) == [0, 1, 1]


def spring(status, exception, boot=3, **labels):
    outcome = {"2": "SUCCESS", "4": "CLIENT_ERROR", "5": "SERVER_ERROR"}[status[0]]
    more = {"error": exception} if boot == 3 else {}
    return counter(
        status, "http_server_requests_seconds_count", "status", outcome=outcome, exception=exception, **more, **labels
    )


@pytest.mark.parametrize(("boot", "none"), [(2, "None"), (3, "none")])
def test_outcome_and_exception_of_spring_follow_from_the_status_and_divide_nothing(boot, none):
    defs = [spring("200", none, boot), spring("404", none, boot), spring("500", "IOException", boot)]
    defs += [spring("500", "SQLException", boot), spring("503", none, boot)]
    rows = [(0, 0, 0, None, 0), (80, 10, 3, None, 1), (160, 20, 6, 0, 2), (240, 30, 9, 4, 3)]
    state, found = played(rows, defs)
    assert [pane["http_server_requests_errors"][:2] for pane in found[1:]] == [[4, 94], [4, 94], [8, 98]]
    again = WindowState.load(state.dump())
    assert len(again.groups) == 1 and all(map(np.array_equal, again.adds, state.adds))
    parts = made_of("default", SERVICE, "http_server_requests_all", {}).tolist()
    assert {int(d.id, 16) for d in (defs[0], defs[1], defs[4])} < set(parts)


def test_what_an_uri_of_spring_counts_is_a_group_of_its_own():
    defs = [spring(code, "none", uri=uri) for uri in ("/a", "/b") for code in ("200", "500")]
    assert len(played([(0, 0, 0, 0), (9, 1, 9, 1)], defs)[0].groups) == 2


def test_an_outcome_that_is_not_springs_divides_groups_as_any_label_does():
    defs = counter("200", outcome="cached"), counter("500", outcome="cached"), counter("200", outcome="fresh")
    _, found = played([(0, 0, 0), (90, 10, 50)], defs)
    assert found[-1]["http_requests_errors"][:2] == [10, 100]


@pytest.mark.parametrize("how", ["snapshot", "split"])
def test_groups_outlive_snapshots_and_moving_shards(how):
    state, _ = played(ROWS)
    again = (
        WindowState.load(state.dump()) if how == "snapshot" else part_of_windows(state, lambda d: True, is_first=True)
    )
    straight = played([(380, 10, 25)], state=state)[1]
    assert str(played([(380, 10, 25)], state=again)[1]) == str(straight)
    assert straight[-1]["http_requests_errors"][:2] == [10, 110]


def test_compiled_windows_have_the_bits_of_the_plain_ones():
    pytest.importorskip("numba")
    rows = [(k * 17 % 101, k * 5 % 23, k * 3 % 11) for k in range(30)]
    plain, fast = (played(rows, fast=fast) for fast in (False, True))
    assert plain[0].dump() == fast[0].dump()
    assert str(plain[1]) == str(fast[1])


def test_one_percent_that_becomes_ten_is_an_anomaly_of_the_error_ratio():
    rng, rows, ok, bad = np.random.default_rng(1), [], 0, 0
    for k in range(400):
        n = int(rng.poisson(100))
        failed = int(rng.binomial(n, 0.1 if k >= 390 else 0.01))
        ok, bad = ok + n - failed, bad + failed
        rows.append((ok, 0, bad))
    windower, state, detect = Windower("test"), WindowState(), Detect([ErrorRatio()])
    seen, anomalies = detect.initial(), []
    for k, row in enumerate(rows):
        samples = [(int(d.id, 16), START + k * 10 * NS, v) for d, v in zip(ALL, row, strict=True)]
        windower.add(state, frame(samples, list(ALL)))
        defs = {int(state.registry.ids()[i]): state.registry.definition(i) for i in range(len(state.registry))}
        for block in windower.close(state, START + (k + 1) * 10 * NS):
            defs |= {int(i): state.registry.definition(state.registry.row(int(i))) for i in block.series}
            seen, found = detect.observe(seen, block, defs)
            anomalies += found
    strong = [a for a in anomalies if a.p_value < 1e-6]
    assert strong and {a.name for a in strong} == {"http_requests_errors"}
    assert min(a.end_ns for a in strong) > START + 3900 * NS


@pytest.mark.parametrize(
    "counted",
    [
        {}, {"name": "http.server.request.duration.count", "label": "http.response.status_code", "error.type": "500"},
        {"name": "rest_requests_seconds_count", "label": "status", "path": "/a"},
    ],
)  # fmt: skip
def test_what_the_sums_of_a_group_were_made_of_is_found_by_their_names(counted):
    failed = counter("500", **counted)
    well = counter("200", **{k: v for k, v in counted.items() if k != "error.type"})
    state, _ = played([(0, 0), (9, 3)], (well, failed))
    whole, errors = (state.registry.definition(row) for row in (2, 3))
    parts = {d.id: set(made_of(d.tenant, d.entity_id, d.name, d.labels).tolist()) for d in (whole, errors, failed)}
    assert {int(well.id, 16), int(failed.id, 16)} < parts[whole.id] and int(failed.id, 16) in parts[errors.id]
    assert int(well.id, 16) not in parts[errors.id] and not parts[failed.id]
