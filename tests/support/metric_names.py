"""Metrics that alerts and the dashboard name, and those that a text of Prometheus holds."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
RULES = ROOT / "deploy/prometheus/alerts.yaml"
DASHBOARD = ROOT / "deploy/grafana/dashboard.json"
_NAME = re.compile(r"(?<![\w:])(?:tidegate|process)_\w+")


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    """Of all rules and panels."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [rule["expr"] for rule in rules()] + shown


def named() -> set[str]:
    """Metrics that any of them asks for."""
    return {name for expression in expressions() for name in _NAME.findall(expression)}


def exported(text: str) -> set[str]:
    """Metrics of an exposition, also those that have no sample at the moment."""
    return set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))


def samples(text: str) -> dict[str, float]:
    """Values by name and labels, as they are written."""
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines() if line and not line.startswith("#")
    }  # fmt: skip
