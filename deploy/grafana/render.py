"""Renders dashboard.json for Grafana 10 and newer. Run it after a change: `python deploy/grafana/render.py`.

A panel is a line here: title, what it means, unit, and expressions with their legends. A test holds that the committed
JSON is what this makes, and that a running process exports every metric that it names.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

OUT = Path(__file__).with_name("dashboard.json")
WIDTH, HEIGHT, PER_ROW = 8, 8, 3
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Panel(NamedTuple):
    """queries: (expression, legend). unit: as Grafana calls it."""

    title: str
    meaning: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    ("Is it well?", (
        Panel("Healthy processes", "Processes whose /healthz says ok, of those that answer.", "none", (
            ("sum(tidegate_healthy)", "healthy"), ("count(tidegate_healthy)", "all"),
        ), "stat"),
        Panel("Age of event time", "How old the newest complete event time of each stage is. Beyond 3 min nothing is "
              "permitted on it.", "s", (("max by (stage) (tidegate_watermark_age_seconds)", "{{stage}}"),)),
        Panel("Why not", "Reasons of /healthz.", "none", (("sum by (code) (tidegate_health_reasons)", "{{code}}"),)),
    )),
    ("Does it keep up?", (
        Panel("Lag", "Records that a stage has yet to read.", "short",
              (("sum by (stage) (tidegate_stage_lag_records)", "{{stage}}"),)),
        Panel("Records read", "Each second.", "short",
              (("sum by (stage) (rate(tidegate_records_read_total[5m]))", "{{stage}}"),)),
        Panel("Samples", "Each second, by state of the ledger.", "short",
              (('sum by (state) (rate(tidegate_samples_total{kind="samples"}[5m]))', "{{state}}"),)),
        Panel("Records held", "Waiting until time has passed them.", "short",
              (("sum by (stage) (tidegate_held_records)", "{{stage}}"),)),
        Panel("Waiting to be sent", "Records in the producers.", "short",
              (("sum by (stage) (tidegate_producer_queue_records)", "{{stage}}"),)),
        Panel("Sources", "That speak, and that are idle or at an end.", "none",
              (("sum by (state) (tidegate_sources)", "{{state}}"),)),
    )),
    ("Is it true?", (
        Panel("Completeness", "Processed of decoded samples.", "percentunit",
              (("tidegate:completeness:ratio", "completeness"),)),
        Panel("Missing or lost", "Must be 0: batches that never came, records that retention took, samples and "
              "messages that no ledger knows.", "short", (
                  ("sum(tidegate_batches_missing_total)", "batches missing"),
                  ("sum(tidegate_records_lost_to_retention_total)", "records lost"),
                  ('sum(tidegate_messages_total{state="admitted"}) - sum(tidegate_messages_total{state!="admitted"})',
                   "messages unaccounted"),
                  ("tidegate:samples_unaccounted", "samples unaccounted or on the way"),
              )),
        Panel("Dead letters by owner", "Each minute, by who sent them and why.", "short",
              (("sum by (source, reason) (rate(tidegate_dead_letters_written_total[5m])) * 60",
                "{{source}} {{reason}}"),)),
        Panel("What became dead letters", "Each minute: samples and messages, by reason.", "short",
              (("sum by (what, reason) (rate(tidegate_dead_letters_total[5m])) * 60", "{{what}} {{reason}}"),)),
        Panel("Redelivered and refused", "Each second: dropped because they came twice; not taken, by code.", "short", (
            ("sum by (stage) (rate(tidegate_batches_redelivered_total[5m]))", "{{stage}} twice"),
            ("sum by (stage, code) (rate(tidegate_refused_total[5m]))", "{{stage}} {{code}}"),
        )),
        Panel("Questions about open incidents", "By what became of them.", "none",
              (("sum by (result) (tidegate_inquiries)", "{{result}}"),)),
    )),
    ("Is it safe?", (
        Panel("Unsaved work", "Age of the last snapshot of tasks that have worked since.", "s",
              (("max by (stage) (tidegate_snapshot_age_seconds)", "{{stage}}"),)),
        Panel("Snapshots", "Size of the last ones.", "bytes",
              (("sum by (stage) (tidegate_snapshot_bytes)", "{{stage}}"),)),
        Panel("Storing a snapshot", "The slowest task.", "s",
              (("max by (stage) (tidegate_snapshot_write_seconds)", "{{stage}}"),)),
        Panel("Tasks", "Who owns how many.", "none",
              (("sum by (stage, instance) (tidegate_tasks)", "{{stage}} {{instance}}"),)),
        Panel("Rebalances and other events", "In 5 minutes.", "short",
              (("sum by (event) (increase(tidegate_events_total[5m]))", "{{event}}"),)),
        Panel("Silence", "Since the last heartbeat, and since a broker answered.", "s", (
            ("time() - tidegate_heartbeat_timestamp_seconds", "heartbeat {{instance}}"),
            ("time() - tidegate_brokers_answered_timestamp_seconds", "brokers {{instance}}"),
        )),
    )),
    ("What does it cost?", (
        Panel("Memory", "Resident.", "bytes", (('process_resident_memory_bytes{job="tidegate"}', "{{instance}}"),)),
        Panel("CPU", "Cores.", "none", (('rate(process_cpu_seconds_total{job="tidegate"}[5m])', "{{instance}}"),)),
        Panel("Versions", "What runs where.", "none",
              (("count by (version) (tidegate_build_info)", "{{version}}"),), "stat"),
    )),
)  # fmt: skip


def dashboard() -> dict[str, Any]:
    """The document, the same each time."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append({
            "id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
        })  # fmt: skip
        y += 1
        for n, panel in enumerate(row):
            at = {"h": HEIGHT, "w": WIDTH, "x": n % PER_ROW * WIDTH, "y": y + n // PER_ROW * HEIGHT}
            panels.append(_panel(len(panels) + 1, panel, at))
        y += -(-len(row) // PER_ROW) * HEIGHT
    return {
        "uid": "tidegate", "title": "Tidegate", "tags": ["tidegate"], "schemaVersion": 38, "version": 1,
        "editable": True, "refresh": "30s", "time": {"from": "now-3h", "to": "now"}, "timezone": "utc",
        "templating": {"list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        ]},
        "panels": panels,
    }  # fmt: skip


def _panel(number: int, panel: Panel, at: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + n), "expr": expression, "legendFormat": legend, "datasource": SOURCE}
        for n, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number, "type": panel.kind, "title": panel.title, "description": panel.meaning, "datasource": SOURCE,
        "gridPos": at, "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
    }  # fmt: skip


def rendered() -> str:
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    OUT.write_text(rendered())
