"""The OpenTelemetry SDK for Python, in an environment of its own, exporting to a gateway: `sent(url, token, seconds)`.

What it sent is counted between the SDK and its exporter, data point by data point, where the exporter said SUCCESS.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = "1.45.2"
PLACE = ROOT / ".servers" / f"otel-sdk-{VERSION}"
PACKAGES = (f"opentelemetry-sdk=={VERSION}", f"opentelemetry-exporter-otlp-proto-http=={VERSION}")
SCRIPT = """
import json, random, sys, time
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

url, token, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
headers = {"Authorization": f"Bearer {token}"}
counts = {"points": 0, "histograms": 0, "sums": 0, "spans": 0, "failed": 0}

class Metrics(OTLPMetricExporter):
    def export(self, data, *args, **kwargs):
        result = super().export(data, *args, **kwargs)
        if result is not MetricExportResult.SUCCESS:
            counts["failed"] += 1
            return result
        for resource in data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    n = len(metric.data.data_points)
                    kind = "histograms" if type(metric.data).__name__ == "Histogram" else "points"
                    counts[kind] += n
        return result

class Spans(OTLPSpanExporter):
    def export(self, spans):
        result = super().export(spans)
        counts["spans" if result is SpanExportResult.SUCCESS else "failed"] += len(spans)
        return result

resource = Resource.create({"service.name": "checkout", "service.instance.id": "checkout-0"})
reader = PeriodicExportingMetricReader(Metrics(f"{url}/v1/metrics", headers=headers), export_interval_millis=500)
meters = MeterProvider([reader], resource=resource)
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(Spans(f"{url}/v1/traces", headers=headers), schedule_delay_millis=500))
meter, tracer = meters.get_meter("shop"), tracers.get_tracer("shop")
requests, duration = meter.create_counter("requests"), meter.create_histogram("duration", unit="ms")
queue = meter.create_up_down_counter("queue")
end = time.monotonic() + seconds
while time.monotonic() < end:
    with tracer.start_as_current_span("GET /"):
        for route in ("a", "b", "c"):
            requests.add(1, {"route": route})
            duration.record(random.expovariate(0.1), {"route": route})
        queue.add(random.choice([-1, 1]))
    time.sleep(0.02)
meters.shutdown()
tracers.shutdown()
print(json.dumps(counts))
"""


def python() -> Path:
    """The interpreter of an environment that has the SDK. Raises CalledProcessError where it cannot be installed."""
    found = PLACE / "bin/python"
    if not (PLACE / "ready").exists():
        uv = Path(sys.executable).with_name("uv")
        quiet = {"check": True, "capture_output": True, "timeout": 300}
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, PLACE], **quiet)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", found, *PACKAGES], **quiet)
        (PLACE / "ready").touch()
    return found


def sent(url: str, token: str, seconds: float) -> dict[str, int]:
    """Run the SDK for so long; what it sent: points, histograms, spans, failed."""
    command = [str(python()), "-c", SCRIPT, url, token, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60)
    counts: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return counts
