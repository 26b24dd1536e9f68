"""Real senders write to a running gateway: every sample that they sent is accounted for.

TIDEGATE_LIVE_S is for how long each does so; `make live-sources` takes ten minutes and keeps what came out.
"""

import json
import os
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import otel_sdk
from support.prometheus import Exporter, debian, running
from support.up_running import Up

SECONDS = float(os.environ.get("TIDEGATE_LIVE_S", "8"))
KEEP = os.environ.get("TIDEGATE_LIVE_KEEP", "")
TOKEN = "prom-token-0123456789"
PAGE = "".join(f'# TYPE m{i} gauge\nm{i}{{kind="a"}} {i}\n' for i in range(200)) + "# EOF\n"


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    found = Up(tmp_path / "up", TOKEN)
    yield found
    found.end()


def metrics_of(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name.partition("{")[0]: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_every_sample_that_a_real_prometheus_sent_was_processed_late_or_rejected(up: Up, tmp_path: Path) -> None:
    exporter = Exporter(PAGE)
    write = {"url": f"{up.url}/api/v1/write", "authorization": {"credentials": TOKEN},
             "queue_config": {"batch_send_deadline": "500ms"}}  # fmt: skip
    with running(debian(), tmp_path / "prometheus", {"shop": exporter.address}, write) as url:
        time.sleep(SECONDS)
        exporter.page = ""  # the series end: stale markers are samples too
        time.sleep(3)
        sent = _settled(url)
    exporter.close()
    report = up.end()
    samples, messages = report["samples"], report["messages"]
    keep("prometheus", sent, report)
    assert sent["failed"] == 0 and sent["samples"] > 400
    assert samples["decoded"] == sent["samples"]
    assert is_accounted_for(samples)
    assert messages["dead_lettered"] == 0 and samples["late"] + samples["rejected"] == 0


def _settled(url: str) -> dict[str, float]:
    """What the server says it sent, once that no longer grows; it scrapes nothing of its own, so its page tells."""
    before = -1.0
    for _ in range(40):
        found = metrics_of(url)
        total = found["prometheus_remote_storage_samples_total"]
        pending = found.get("prometheus_remote_storage_samples_pending", 0)
        if total == before and not pending:
            return {"samples": total, "failed": found["prometheus_remote_storage_samples_failed_total"]}
        before = total
        time.sleep(0.2)
    raise AssertionError("the server never came to rest")


def test_every_sample_that_the_opentelemetry_sdk_sent_was_processed_late_or_rejected(up: Up) -> None:
    sent = otel_sdk.sent(up.url, TOKEN, SECONDS)
    report = up.end()
    keep("opentelemetry-python", sent, report)
    assert sent["failed"] == 0 and sent["points"] > 50 and sent["spans"] > 50
    # a histogram's data point is its buckets, its count and its sum
    assert report["samples"]["decoded"] == sent["points"] + 3 * sent["histograms"]
    assert is_accounted_for(report["samples"]) and report["messages"]["dead_lettered"] == 0


def is_accounted_for(samples: dict[str, int]) -> bool:
    parts = ("processed", "duplicate", "late", "rejected", "buffered")
    return samples["decoded"] == sum(samples[name] for name in parts)


def keep(sender: str, sent: dict[str, float], report: dict) -> None:
    """What came out, beside what other senders gave."""
    if KEEP:
        path = Path(KEEP)
        kept = json.loads(path.read_text()) if path.exists() else {}
        found = {name: report[name] for name in ("messages", "samples")}
        path.write_text(json.dumps(kept | {sender: {"seconds": SECONDS, "sent": sent, **found}}, indent=1) + "\n")
