import java.nio.file.Path;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.CoreOptions;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.dataview.MapView;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * Runs one query over rides in Apache Flink, in this process and with one task, its rows as JSON into a folder.
 *
 * <p>{@code Flink RIDES OUT QUERY}: RIDES is a gzipped file of JSON lines, which Flink reads in its order.
 */
public final class Flink {
  private Flink() {}

  public static void main(String[] arguments) throws Exception {
    Configuration configuration = new Configuration();
    configuration.set(ExecutionOptions.RUNTIME_MODE, RuntimeExecutionMode.STREAMING);
    configuration.set(CoreOptions.DEFAULT_PARALLELISM, 1);
    configuration.setString("table.local-time-zone", "UTC");
    configuration.setString("pipeline.object-reuse", "true");
    TableEnvironment tables =
        TableEnvironment.create(EnvironmentSettings.newInstance().withConfiguration(configuration).build());
    tables.createTemporarySystemFunction("TOP", Top.class);
    tables.executeSql(
        "CREATE TABLE rides (event_id BIGINT, user_id BIGINT, action STRING, geohash STRING, ride_id STRING,"
            + " fare DOUBLE, event_time BIGINT, rowtime AS TO_TIMESTAMP_LTZ(event_time, 3),"
            + " WATERMARK FOR rowtime AS rowtime - INTERVAL '10' MINUTE)"
            + " WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '"
            + Path.of(arguments[0]).toUri()
            + "')");
    String columns = tables.sqlQuery(arguments[2]).getResolvedSchema().getColumns().stream()
        .map(column -> "`" + column.getName() + "` " + column.getDataType().getLogicalType().copy(true))
        .collect(java.util.stream.Collectors.joining(", "));
    tables.executeSql(
        "CREATE TABLE answers (" + columns + ") WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '"
            + Path.of(arguments[1]).toUri()
            + "')");
    tables.executeSql("INSERT INTO answers " + arguments[2]).await();
  }

  /** The last n values in the order in which Flink hands rows over, the oldest first. */
  public static final class Top extends AggregateFunction<String[], Top.Values> {
    /** Values by their number; those before {@code first} were retracted. */
    public static final class Values {
      public MapView<Long, String> items = new MapView<>();
      public long first = 0;
      public long next = 0;
      public int limit = 0;
    }

    @Override
    public Values createAccumulator() {
      return new Values();
    }

    public void accumulate(Values values, Integer limit, String value) throws Exception {
      values.limit = limit;
      if (value != null) {
        values.items.put(values.next++, value);
      }
    }

    /** A window that slides retracts its oldest row. */
    public void retract(Values values, Integer limit, String value) throws Exception {
      if (value != null) {
        values.items.remove(values.first++);
      }
    }

    @Override
    public String[] getValue(Values values) {
      int count = (int) Math.min(values.limit, values.next - values.first);
      String[] last = new String[count];
      try {
        for (int place = 0; place < count; place++) {
          last[place] = values.items.get(values.next - count + place);
        }
      } catch (Exception failure) {
        throw new IllegalStateException(failure);
      }
      return last;
    }
  }
}
