"""Reads Prometheus for queries."""

from tidegate._json_reader import MOST_BYTES, JsonReader

__all__ = ["MOST_BYTES", "PrometheusReader"]


class PrometheusReader(JsonReader):
    """url: address, with a path if Prometheus lies below one; token: empty for none."""

    def __init__(self, url: str, token: str = "") -> None:
        super().__init__(url, token, name="PROMETHEUS")
