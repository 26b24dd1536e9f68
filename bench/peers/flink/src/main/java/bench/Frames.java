package bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.Float8Vector;
import org.apache.arrow.vector.TimeStampNanoVector;
import org.apache.arrow.vector.UInt8Vector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.ipc.ArrowStreamReader;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.Schema;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.util.Collector;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;

/** Our frames as a table of Flink: a row a point, watermarks as the writers declare them. */
final class Frames {
  private Frames() {}

  /** A point: (series, t in ms, value, ""); a watermark: (0, through in ms, NaN if idle, writer). */
  private static final class Reader implements KafkaRecordDeserializationSchema<Tuple4<Long, Long, Double, String>> {
    private transient BufferAllocator allocator;
    private transient ObjectMapper json;

    @Override
    public void deserialize(
        ConsumerRecord<byte[], byte[]> message, Collector<Tuple4<Long, Long, Double, String>> out)
        throws IOException {
      if (allocator == null) {
        allocator = new RootAllocator();
        json = new ObjectMapper();
      }
      if (message.headers().lastHeader("ce_type") != null) {
        JsonNode mark = json.readTree(message.value());
        if (mark.has("through_ns")) {
          boolean idle = mark.path("idle").asBoolean();
          out.collect(
              Tuple4.of(
                  0L,
                  mark.get("through_ns").asLong() / 1_000_000,
                  idle ? Double.NaN : 0.0,
                  mark.path("stage").asText() + "@" + mark.path("instance").asText()));
        }
        return;
      }
      try (ArrowStreamReader reader = new ArrowStreamReader(new ByteArrayInputStream(message.value()), allocator)) {
        reader.loadNextBatch();
        VectorSchemaRoot root = reader.getVectorSchemaRoot();
        UInt8Vector series = (UInt8Vector) root.getVector("series");
        TimeStampNanoVector t = (TimeStampNanoVector) root.getVector("t");
        Float8Vector value = (Float8Vector) root.getVector("value");
        for (int i = 0; i < root.getRowCount(); i++) {
          out.collect(Tuple4.of(series.get(i), t.get(i) / 1_000_000, value.get(i), ""));
        }
      }
    }

    @Override
    public TypeInformation<Tuple4<Long, Long, Double, String>> getProducedType() {
      return Types.TUPLE(Types.LONG, Types.LONG, Types.DOUBLE, Types.STRING);
    }
  }

  /** The smallest of the marks of all writers of a partition that are not idle. */
  private static final class Marks implements WatermarkGenerator<Tuple4<Long, Long, Double, String>> {
    private final int writers;
    private final Map<String, Long> marks = new HashMap<>();
    private long through = Long.MIN_VALUE;

    private Marks(int writers) {
      this.writers = writers;
    }

    @Override
    public void onEvent(Tuple4<Long, Long, Double, String> event, long timestamp, WatermarkOutput output) {
      if (event.f3.isEmpty()) {
        return;
      }
      marks.put(event.f3, Double.isNaN(event.f2) ? Long.MAX_VALUE : event.f1);
      if (marks.size() == writers) {
        long least = marks.values().stream().mapToLong(Long::longValue).min().getAsLong();
        if (least > through && least < Long.MAX_VALUE) {
          through = least;
          output.emitWatermark(new Watermark(through - 1));
        }
      }
    }

    @Override
    public void onPeriodicEmit(WatermarkOutput output) {}
  }

  static void table(
      StreamExecutionEnvironment environment, StreamTableEnvironment tables, String brokers, String in, int writers) {
    KafkaSource<Tuple4<Long, Long, Double, String>> source =
        KafkaSource.<Tuple4<Long, Long, Double, String>>builder()
            .setBootstrapServers(brokers)
            .setTopics(in)
            .setGroupId("bench-flink-frames")
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setBounded(OffsetsInitializer.latest())
            .setDeserializer(new Reader())
            .build();
    WatermarkStrategy<Tuple4<Long, Long, Double, String>> time =
        WatermarkStrategy.<Tuple4<Long, Long, Double, String>>forGenerator(context -> new Marks(writers))
            .withTimestampAssigner((event, kafka) -> event.f1);
    DataStream<Tuple4<Long, Long, Double, String>> points =
        environment.fromSource(source, time, "frames").filter(event -> event.f3.isEmpty());
    tables.createTemporaryView(
        "points",
        points,
        Schema.newBuilder()
            .columnByExpression("k", "f0")
            .columnByExpression("v", "f2")
            .columnByMetadata("at", DataTypes.TIMESTAMP_LTZ(3), "rowtime")
            .watermark("at", "SOURCE_WATERMARK()")
            .build());
  }
}
