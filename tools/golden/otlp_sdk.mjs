// Metrics, spans and a log line of a fixed shop by the OpenTelemetry SDK for JavaScript: `otlp_sdk.mjs URL proto|http`;
// `http` is OTLP as JSON. Values are fixed, times are not.
import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs";
import { AggregationType, MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";

const [url, encoding] = process.argv.slice(2);
const { OTLPMetricExporter } = await import(`@opentelemetry/exporter-metrics-otlp-${encoding}`);
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${encoding}`);
const { OTLPLogExporter } = await import(`@opentelemetry/exporter-logs-otlp-${encoding}`);
const resource = resourceFromAttributes({
  "service.name": "checkout", "service.instance.id": "checkout-0", "service.version": "4.2",
});

const exporter = new OTLPMetricExporter({ url: `${url}/v1/metrics` });
const meters = new MeterProvider({
  resource, readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3600000 })],
  views: [{ instrumentName: "wide", aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
});
const meter = meters.getMeter("shop", "1.0", { schemaUrl: "https://opentelemetry.io/schemas/1.38.0" });
const requests = meter.createCounter("requests", { unit: "1" });
requests.add(3, { route: "a" });
requests.add(2, { route: "café" });
meter.createUpDownCounter("queue").add(-4);
meter.createGauge("temperature", { unit: "Cel" }).record(21.5);
for (const name of ["duration", "wide"]) {
  const histogram = meter.createHistogram(name, { unit: "ms" });
  for (const value of [5, 50, 500]) histogram.record(value);
}
await meters.shutdown();

const spans = new SimpleSpanProcessor(new OTLPTraceExporter({ url: `${url}/v1/traces` }));
const tracers = new BasicTracerProvider({ resource, spanProcessors: [spans] });
const span = tracers.getTracer("shop").startSpan("POST /pay", { kind: SpanKind.SERVER, attributes: { "http.route": "/pay" } });
span.setStatus({ code: SpanStatusCode.ERROR, message: "card refused" });
span.end();
await tracers.forceFlush();
await tracers.shutdown();

const processor = new SimpleLogRecordProcessor({ exporter: new OTLPLogExporter({ url: `${url}/v1/logs` }) });
const lines = new LoggerProvider({ resource, processors: [processor] });
lines.getLogger("shop").emit({
  severityNumber: SeverityNumber.WARN, severityText: "WARN", body: "payment p-1 took 812 ms", attributes: { attempt: 2 },
});
await lines.forceFlush();
await lines.shutdown();
