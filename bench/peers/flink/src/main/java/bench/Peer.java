package bench;

import org.apache.flink.api.common.JobStatus;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.table.api.bridge.java.StreamStatementSet;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/**
 * Flink SQL as its users write it: a Kafka table with a watermark, a tumbling window, an OVER aggregate, an INSERT.
 *
 * <p>`points` reads one JSON message a point. `frames` reads our frames through a deserialiser (SQL knows no Arrow)
 * and is the same SQL after that. One task manager in this process, parallelism 1.
 */
public final class Peer {
  private static final String WINDOWS =
      "CREATE TEMPORARY VIEW windows AS SELECT k, window_start, window_time, AVG(v) AS mean, MIN(v) AS low,"
          + " MAX(v) AS high, COUNT(*) AS n"
          + " FROM TABLE(TUMBLE(TABLE points, DESCRIPTOR(`at`), INTERVAL '1' MINUTE))"
          + " GROUP BY k, window_start, window_end, window_time";
  private static final String JUDGED =
      "INSERT INTO anomalies SELECT CAST(k AS STRING),"
          + " TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', window_start) * CAST(1000 AS BIGINT),"
          + " mean, low, high, n, z FROM (SELECT *, robust_z(mean) OVER (PARTITION BY k ORDER BY window_time"
          + " ROWS BETWEEN 30 PRECEDING AND CURRENT ROW) AS z FROM windows) WHERE z > 8 OR z < -8";

  private Peer() {}

  public static void main(String[] arguments) throws Exception {
    String brokers = System.getenv("BENCH_BROKERS");
    String in = System.getenv("BENCH_IN");
    Configuration configuration = new Configuration();
    configuration.setString("table.local-time-zone", "UTC");
    StreamExecutionEnvironment environment =
        StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
    StreamTableEnvironment tables = StreamTableEnvironment.create(environment);
    tables.createTemporarySystemFunction("robust_z", RobustZ.class);
    if (arguments[0].equals("frames")) {
      Frames.table(environment, tables, brokers, in, Integer.parseInt(System.getenv("BENCH_WRITERS")));
    } else {
      tables.executeSql(
          "CREATE TABLE points (k STRING, ts BIGINT, v DOUBLE, `at` AS TO_TIMESTAMP_LTZ(ts, 3),"
              + " WATERMARK FOR `at` AS `at`) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = '" + in + "',"
              + " 'properties.bootstrap.servers' = '" + brokers + "', 'scan.startup.mode' = 'earliest-offset',"
              + " 'scan.bounded.mode' = 'latest-offset')");
    }
    tables.executeSql(
        "CREATE TABLE anomalies (k STRING, `start` BIGINT, `mean` DOUBLE, `min` DOUBLE, `max` DOUBLE, n BIGINT,"
            + " z DOUBLE) WITH ('connector' = 'kafka', 'format' = 'json', 'topic' = '" + System.getenv("BENCH_OUT")
            + "', 'properties.bootstrap.servers' = '" + brokers + "')");
    tables.executeSql(WINDOWS);
    StreamStatementSet statements = tables.createStatementSet();
    statements.addInsertSql(JUDGED);
    TableResult result = statements.execute();
    while (result.getJobClient().orElseThrow().getJobStatus().get() != JobStatus.RUNNING) {
      Thread.sleep(5);
    }
    System.out.println("BEGIN");
    System.out.flush();
    result.await();
    System.out.println("END");
    System.out.flush();
    System.in.read();
    System.exit(0);
  }
}
