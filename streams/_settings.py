"""What the streams room can be told; every number has a unit, a default that works and a bound that it keeps."""

from dataclasses import dataclass

from schemas.core import NS

PANE_NS = 10 * NS
"""Windows are built from panes of ten seconds. Part of the formats, not a setting."""

WINDOW_PANES = (1, 6, 12)
"""Windows of 10, 60 and 120 s slide by one pane; part of the formats too."""

RING_PANES = max(WINDOW_PANES)

ZERO_FOR_NS = 86_400 * NS
"""How long the silence of an event series means zero; after a day nothing is known of it until it speaks again. So a
jump of months in event time costs the panes of a day, and what is learned from zeros is at most a day of them."""

WARM_POINTS = 200_000
"""Points after which a run counts as a long one and numba is worth its start; about half a second of plain decoding."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Bounds of time and memory.

    lateness_ns: how far a sample may lag behind the newest of its source and still count.
    max_skew_ns: a sample further than this ahead of the time its message was received is quarantined.
    max_series: series in all; max_series_per_source: of one source. Beyond, samples are rejected and counted.
    shards: units of state, fixed when topics are made. partitions: of the partitioned topics.
    frame_points: frames close at this many points a partition, or when time advances.
    linger_ns: time is said to have advanced, and frames close, at most so often by the times messages were received.
    """

    lateness_ns: int = 10 * NS
    max_skew_ns: int = 300 * NS
    max_series: int = 1_000_000
    max_series_per_source: int = 200_000
    shards: int = 16
    partitions: int = 1
    frame_points: int = 2000
    linger_ns: int = NS // 10
    max_templates_per_service: int = 1000
    max_endpoints_per_service: int = 200
    max_spans_held: int = 500_000
    edge_latency: bool = False
    """Whether spans also become the latency of each edge; one more series an edge, for the detector of that name."""
