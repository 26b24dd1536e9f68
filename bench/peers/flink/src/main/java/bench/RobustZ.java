package bench;

import java.util.Arrays;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * Robust z of the newest of the rows in the frame against the others; 0 while there are fewer than ten others.
 *
 * <p>SQL has no median absolute deviation over a sliding frame, so users write such a function. Rows come and go in
 * order, which is what an OVER frame does.
 */
public final class RobustZ extends AggregateFunction<Double, RobustZ.Frame> {
  private static final int LEAST = 10;

  /** Means in order of time, the newest last. */
  public static final class Frame {
    @DataTypeHint("ARRAY<DOUBLE NOT NULL>")
    public double[] means = new double[0];
  }

  @Override
  public Frame createAccumulator() {
    return new Frame();
  }

  public void accumulate(Frame frame, Double mean) {
    double[] more = Arrays.copyOf(frame.means, frame.means.length + 1);
    more[frame.means.length] = mean;
    frame.means = more;
  }

  public void retract(Frame frame, Double mean) {
    frame.means = Arrays.copyOfRange(frame.means, 1, frame.means.length);
  }

  @Override
  public Double getValue(Frame frame) {
    int n = frame.means.length - 1;
    if (n < LEAST) {
      return 0.0;
    }
    double[] others = Arrays.copyOf(frame.means, n);
    double newest = frame.means[n];
    double centre = median(others);
    for (int i = 0; i < n; i++) {
      others[i] = Math.abs(others[i] - centre);
    }
    double spread = 1.4826 * median(others);
    if (spread == 0) {
      return newest == centre ? 0.0 : Double.MAX_VALUE;
    }
    return (newest - centre) / spread;
  }

  private static double median(double[] values) {
    Arrays.sort(values);
    int middle = values.length / 2;
    return values.length % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  }
}
