"""Tidegate: telemetry to calibrated hypotheses to policy-gated actions; the same code live and in replay."""

from importlib import metadata

try:
    __version__ = metadata.version("tidegate")
except metadata.PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0.0.0"
