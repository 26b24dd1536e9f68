"""Prometheus' own tool reads what is deployed beside Tidegate, and its cases hold."""

import subprocess
from pathlib import Path

import pytest
from support.prometheus import debian

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "command",
    [["check", "config", "deploy/prometheus/prometheus.yaml"], ["test", "rules", "tests/data/alerts_test.yaml"]],
    ids=["check", "test"],
)
def test_prometheus_understands_the_rules_and_their_cases_hold(command):
    done = subprocess.run([debian().with_name("promtool"), *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
