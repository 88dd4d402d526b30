// Judges the spec of a Kafka supervisor by Druid's own classes, which by themselves pass over members they do not know:
// DruidCheck SPEC. Says its datasource, topic and dimensions, or what is wrong with it.

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.DeserializationContext;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.InjectableValues;
import com.fasterxml.jackson.databind.JsonDeserializer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.deser.DeserializationProblemHandler;
import java.io.File;
import java.io.IOException;
import org.apache.druid.indexing.kafka.KafkaIndexTaskModule;
import org.apache.druid.indexing.kafka.supervisor.KafkaSupervisorIngestionSpec;
import org.apache.druid.jackson.DefaultObjectMapper;
import org.apache.druid.math.expr.ExprMacroTable;
import org.apache.druid.segment.DefaultColumnFormatConfig;

public final class DruidCheck {
  public static void main(String[] arguments) throws Exception {
    ObjectMapper mapper = new DefaultObjectMapper();
    new KafkaIndexTaskModule().getJacksonModules().forEach(mapper::registerModule);
    mapper.setInjectableValues(
        new InjectableValues.Std()
            .addValue(ObjectMapper.class, mapper)
            .addValue(ExprMacroTable.class, ExprMacroTable.nil())
            .addValue(DefaultColumnFormatConfig.class, new DefaultColumnFormatConfig(null, null)));
    mapper.configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, true);
    mapper.addHandler(new OnlyType());
    JsonNode given = mapper.readTree(new File(arguments[0]));
    if (!"kafka".equals(given.path("type").asText())) {
      throw new IllegalArgumentException("the type is not kafka");
    }
    KafkaSupervisorIngestionSpec spec = mapper.treeToValue(given.get("spec"), KafkaSupervisorIngestionSpec.class);
    System.out.println(
        spec.getDataSchema().getDataSource()
            + " <- "
            + spec.getIOConfig().getTopic()
            + " "
            + spec.getDataSchema().getDimensionsSpec().getDimensionNames());
  }

  /** Of the members that a class does not know, `type` alone is passed over: it has chosen the class. */
  private static final class OnlyType extends DeserializationProblemHandler {
    @Override
    public boolean handleUnknownProperty(
        DeserializationContext context, JsonParser parser, JsonDeserializer<?> reader, Object object, String name)
        throws IOException {
      if (!name.equals("type")) {
        return false;
      }
      parser.skipChildren();
      return true;
    }
  }
}
