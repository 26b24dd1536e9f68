"""The shipped settings of the OpenTelemetry Collector in a Collector: from an SDK over Kafka to what we read.

`pytest tests/live/collector_check.py`; the name keeps it out of `make test`, which needs no service.
"""

from support import otel_collector, otel_sdk
from support.kafka import Broker
from support.pipeline import Deployed

import schemas as sc
from tidegate import _catalogue


def test_what_an_sdk_sends_to_the_shipped_collector_is_read_whole_from_its_topics(tmp_path):
    with Broker() as broker:
        deployed = Deployed(broker, tmp_path, prefix="collected", partitions=2)
        with otel_collector.shipped(tmp_path, broker.bootstrap) as url:
            sent = otel_sdk.sent(url, "", 12)
        sources = {topic: source for source in _catalogue.find("sources").values() for topic in source.topics}
        found = {
            topic: [sources[topic].decode(message) for message in deployed.read(topic)]
            for topic in (sc.OTLP_METRICS, sc.OTLP_SPANS)
        }
    points, spans = (found[topic] for topic in (sc.OTLP_METRICS, sc.OTLP_SPANS))
    assert sent["failed"] == 0 and sent["points"] > 50 and sent["spans"] > 50
    assert sum(len(one.points.t) for one in points) == sent["points"] + 2 * sent["histograms"]
    assert sum(one.spans.num_rows for one in spans) == sent["spans"]
