"""Who does what on Kafka: the stages say themselves what they read and write; the others are listed here.

A stage may also write what it cannot use (dead letters) and keeps manifests of its snapshots. Whoever proposes may not
approve, and whoever approves may not act.
"""

import schemas as sc
from schemas.core import Stage
from streams import Access
from tidegate import _pipeline
from tidegate._errors import SettingsError
from tidegate._settings import Settings

_SOURCES = frozenset({sc.OTLP_METRICS, sc.OTLP_LOGS, sc.OTLP_SPANS})
_ANSWERS = frozenset({sc.ANOMALIES, sc.INCIDENTS, sc.DIAGNOSES, sc.ACTIONS})

OTHERS = (
    Access("collector", writes=_SOURCES, checks=False, has_groups=False),
    Access("gateway", reads=_ANSWERS, writes=_SOURCES | {sc.RAW}),
    Access(
        "investigate",
        reads=_ANSWERS | {sc.INQUIRIES, sc.FRAMES, sc.SERIES, sc.CHANGES, sc.TOPOLOGY},
        writes=frozenset({sc.OBSERVATIONS}),
    ),
    Access(
        "act",
        reads=frozenset({sc.ACTIONS, sc.APPROVALS, sc.CONTROL, sc.CHANGES, sc.CALENDAR}),
        writes=frozenset({sc.ACTIONS, sc.AUDIT, sc.DEAD_LETTERS}),
    ),
    Access("approver", reads=_ANSWERS, writes=frozenset({sc.APPROVALS, sc.FEEDBACK, sc.CONTROL})),
    Access("reader", reads=_ANSWERS | {sc.FRAMES, sc.HISTOGRAMS}, checks=False),
    Access("operator", makes=frozenset(sc.TOPICS), checks=False, has_groups=False),
)
"""Roles that are no stage: senders, people and programs beside the pipeline, and whoever makes the topics."""


def roles(settings: Settings) -> dict[str, Access]:
    """Every role by its name."""
    stages = [of_stage(stage) for stage in _pipeline.build(settings).stages]
    return {access.role: access for access in (*stages, *OTHERS)}


def of_stage(stage: Stage) -> Access:  # type: ignore[type-arg]  # the state does not matter here
    """What a stage needs: its topics, manifests of snapshots, dead letters."""
    return Access(
        stage.name,
        reads=frozenset(stage.inputs) | {sc.SNAPSHOTS},
        writes=frozenset(stage.outputs) | {sc.SNAPSHOTS, sc.DEAD_LETTERS},
    )


def chosen(settings: Settings, names: list[str]) -> list[Access]:
    """The roles of these names, all if there are none. Raises SettingsError."""
    known = roles(settings)
    if unknown := [name for name in names if name not in known]:
        raise SettingsError(f"there is no role '{unknown[0]}'", todo=f"Roles: {', '.join(known)}")
    return [access for name, access in known.items() if not names or name in names]
