"""Who does what on Kafka: the stages say themselves what they read and write; the others are listed here.

A stage may also write what it cannot use (dead letters), keeps manifests of its snapshots, and looks at the number of
partitions of the whole pipeline: it waits for the time of every writer. The one that makes time says in the raw topic
who fell silent. Whoever proposes may not approve, and whoever
approves may not act.
"""

from typing import Any

import schemas as sc
from schemas.core import Stage
from streams import Access
from tidegate import _pipeline
from tidegate._errors import SettingsError
from tidegate._settings import Settings

_SOURCES = frozenset({sc.OTLP_METRICS, sc.OTLP_LOGS, sc.OTLP_SPANS})
_ANSWERS = frozenset({sc.ANOMALIES, sc.INCIDENTS, sc.DIAGNOSES, sc.ACTIONS})

OTHERS = (
    Access("collector", writes=_SOURCES, has_groups=False),
    Access("gateway", reads=_ANSWERS, writes=_SOURCES | {sc.RAW}),
    Access(
        "investigate",
        reads=frozenset({sc.INQUIRIES, sc.FRAMES, sc.SERIES}),
        writes=frozenset({sc.OBSERVATIONS}),
    ),
    Access(
        "act",
        reads=_ANSWERS - {sc.ANOMALIES} | {sc.APPROVALS, sc.CONTROL, sc.CHANGES, sc.CALENDAR, sc.TOPOLOGY, sc.FEEDBACK},
        writes=frozenset({sc.ACTIONS, sc.AUDIT, sc.DEAD_LETTERS, sc.RAW}),
    ),
    Access("forecast", reads=frozenset({sc.FRAMES, sc.SERIES, sc.CALENDAR}), writes=frozenset({sc.FORECASTS})),
    Access("approver", reads=_ANSWERS, writes=frozenset({sc.APPROVALS, sc.FEEDBACK, sc.CONTROL})),
    Access(  # says what nobody is paged for
        "silencer",
        reads=frozenset({sc.INCIDENTS, sc.DIAGNOSES, sc.ACTIONS, sc.TOPOLOGY, sc.FEEDBACK, sc.CALENDAR}),
        writes=frozenset({sc.CALENDAR}),
        has_groups=False,
    ),
    Access("reader", reads=_ANSWERS | {sc.FRAMES, sc.HISTOGRAMS}),
    Access(  # `topics grow` makes new snapshots of shards that stand still
        "operator",
        reads=frozenset({sc.SNAPSHOTS}),
        writes=frozenset({sc.SNAPSHOTS}),
        makes=frozenset(sc.TOPICS),
        has_groups=False,
        watches=True,
    ),
)
"""Roles that are no stage: senders, people and programs beside the pipeline, and whoever makes the topics."""


def roles(settings: Settings) -> dict[str, Access]:
    """Every role by its name."""
    stages = _pipeline.build(settings).stages
    pipeline = frozenset(topic for stage in stages for topic in (*stage.inputs, *stage.outputs)) | {sc.SNAPSHOTS}
    found = [
        Access(
            stage.name,
            reads=frozenset(stage.inputs) | {sc.SNAPSHOTS},
            writes=_written(stage),
            sees=pipeline,
        )
        for stage in stages
    ]
    return {access.role: access for access in (*found, *OTHERS)}


def _written(stage: Stage[Any]) -> frozenset[str]:
    marks = {sc.RAW} if stage.makes_time else set()
    return frozenset((*stage.outputs, *getattr(stage, "journal", ()))) | {sc.SNAPSHOTS, sc.DEAD_LETTERS} | marks


def chosen(settings: Settings, names: list[str]) -> list[Access]:
    """The roles of these names, all if there are none. Raises SettingsError."""
    known = roles(settings)
    if unknown := [name for name in names if name not in known]:
        raise SettingsError(f"there is no role '{unknown[0]}'", todo=f"Roles: {', '.join(known)}")
    return [access for name, access in known.items() if not names or name in names]
