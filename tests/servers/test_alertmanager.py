"""A real Alertmanager posts to the gateway: what fires and what is over arrive as one alert in two states."""

import time
from pathlib import Path

from support.alertmanager import running, tell
from support.up import serving, settings

import schemas as sc
from tidegate._live import Live

TOKEN = "alertmanager-token-0123456789"
ALERT = {"labels": {"alertname": "HighErrors", "service": "checkout", "severity": "critical"},
         "annotations": {"summary": "5 % fail"}, "startsAt": "2026-03-02T10:15:30.123Z"}  # fmt: skip


def told(live: Live, count: int) -> list[sc.Alert]:
    """Alerts on their topic, once there are as many; fails after two minutes."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        live.pump()
        records = [
            sc.read(s.message) for s in live.log.read([sc.ALERTS], 0, 1000) if sc.record_type(s.message) == "alert"
        ]
        if len(records) >= count:
            return [record for record in records if isinstance(record, sc.Alert)]
        time.sleep(0.1)
    raise AssertionError(f"fewer than {count} alerts arrived")


def test_an_alert_that_fires_and_ends_arrives_in_both_states(tmp_path: Path) -> None:
    config = settings(tokens=[{"token": TOKEN, "source": "alertmanager", "tenant": "default", "trust": 1}])
    live = Live(tmp_path / "live", config)
    with serving(live) as call:
        webhook = {
            "url": f"{call.url}/v1/alertmanager", "send_resolved": True,
            "http_config": {"authorization": {"credentials": TOKEN}},
        }  # fmt: skip
        with running(tmp_path, webhook) as url:
            tell(url, [ALERT])
            (first,) = told(live, 1)
            tell(url, [{**ALERT, "endsAt": "2026-03-02T10:20:00Z"}])
            found = told(live, 2)
    live.close()
    assert [alert.state for alert in found] == ["firing", "resolved"] and found[1].id == first.id
    assert (first.service, first.title, first.severity) == ("checkout", "5 % fail", "critical")
    assert sc.rfc3339(found[1].until_ns or 0) == "2026-03-02T10:20:00.000000000Z"
