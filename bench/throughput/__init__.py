"""How much CPU a million points cost, from topics to anomalies: ours, and what a user could pick instead.

`python -m bench.throughput --json [--peers]`; the result lies in `docs/results/throughput.md`, what was measured and
how in `docs/performance.md`.
"""
