"""Metrics, spans and a log line of a fixed shop by the OpenTelemetry SDK for Python: `otlp_sdk.py URL`, in its own
environment (tests/support/otel_sdk.py). Values are fixed, times are not.
"""

import logging
import sys

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

url = sys.argv[1]
resource = Resource({"service.name": "checkout", "service.instance.id": "checkout-0", "service.version": "4.2"})
reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{url}/v1/metrics"), export_interval_millis=3_600_000)
wide = View(instrument_name="wide", aggregation=ExponentialBucketHistogramAggregation())
meters = MeterProvider([reader], resource=resource, views=[wide])
meter = meters.get_meter("shop", "1.0", schema_url="https://opentelemetry.io/schemas/1.38.0")
meter.create_counter("requests", unit="1").add(3, {"route": "a"})
meter.create_counter("requests", unit="1").add(2, {"route": "café"})
meter.create_up_down_counter("queue").add(-4)
meter.create_gauge("temperature", unit="Cel").set(21.5)
for name in ("duration", "wide"):
    for value in (5, 50, 500):
        meter.create_histogram(name, unit="ms").record(value)
meters.shutdown()

tracers = TracerProvider(resource=resource)
tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
with tracers.get_tracer("shop").start_as_current_span("POST /pay", kind=SpanKind.SERVER) as span:
    span.set_attribute("http.route", "/pay")
    span.set_status(Status(StatusCode.ERROR, "card refused"))
tracers.shutdown()

lines = LoggerProvider(resource=resource)
lines.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{url}/v1/logs")))
logging.getLogger("shop").addHandler(LoggingHandler(logger_provider=lines))
logging.getLogger("shop").warning("payment %s took %d ms", "p-1", 812)
lines.shutdown()
