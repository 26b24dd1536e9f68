"""From faults to anomalies and decisions at the pace of the clock, on a real broker: a short run of `bench.live`."""

import pytest

import schemas as sc
from bench import live
from schemas.core import NS, Message


def test_little_is_added_to_the_window_that_shows_a_bad_deploy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lateness (5 s), until a sender is heard again whose partition has few (up to 10 s), and work."""
    monkeypatch.setattr(live, "CATCH_UP_S", 15)
    monkeypatch.setattr(live, "LAST_S", 55)
    found = live.measure(6, 15, lateness_s=5)
    assert found["decision_never"] == "0 of 3" and found["anomaly_never"] == "0 of 6", found
    assert found["sender_late_s"] < 2, "the machine is too busy to send in time"
    shops = [row for row in found["faults"] if row["kind"] == "bad deploy"]
    assert all(row["anomaly"] - row["window_end"] < 5 + 10 + 5 for row in shops), shops
    assert all(row["anomaly"] <= row["decision"] < live.BUDGET_S["decision"] for row in shops), shops


def test_rows_are_the_same_whatever_batches_they_are_sent_in() -> None:
    _, messages = live.load(2, 1_767_268_800 * NS, 10, batch_s=10)
    whole = [m for m in messages if m.topic == sc.OTLP_LOGS]
    parts = [part for m in whole for part in live.rebatched(m, NS)]

    def rows(found: list[Message]) -> list[bytes]:
        requests = [live.ExportLogsServiceRequest.FromString(m.value) for m in found]
        scopes = [scope for q in requests for resource in q.resource_logs for scope in resource.scope_logs]
        return sorted(row.SerializeToString() for scope in scopes for row in scope.log_records)

    assert len(parts) > 5 * len(whole) and rows(parts) == rows(whole)
