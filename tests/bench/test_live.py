"""What the latency benchmark sends is what a collector would, however it is cut into batches."""

import schemas as sc
from bench import live
from schemas.core import NS, Message


def test_rows_are_the_same_whatever_batches_they_are_sent_in() -> None:
    _, messages = live.load(2, 1_767_268_800 * NS, 10, batch_s=10)
    whole = [m for m in messages if m.topic == sc.OTLP_LOGS]
    parts = [part for m in whole for part in live.rebatched(m, NS)]

    def rows(found: list[Message]) -> list[bytes]:
        requests = [live.ExportLogsServiceRequest.FromString(m.value) for m in found]
        scopes = [scope for q in requests for resource in q.resource_logs for scope in resource.scope_logs]
        return sorted(row.SerializeToString() for scope in scopes for row in scope.log_records)

    assert len(parts) > 5 * len(whole) and rows(parts) == rows(whole)
