import dev.cdevents.CDEvents;
import dev.cdevents.events.IncidentDetectedCDEvent;
import dev.cdevents.events.ServiceDeployedCDEvent;
import dev.cdevents.events.ServiceRolledbackCDEvent;
import dev.cdevents.models.CDEvent;
import io.cloudevents.core.message.MessageWriter;
import io.cloudevents.http.HttpMessageFactory;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;

/** Three events of the SDK for Java, posted by the CloudEvents SDK: the path says how. Argument: the URL. */
public class Main {
  public static void main(String[] arguments) throws Exception {
    URI source = URI.create("/ci/prod");
    ServiceDeployedCDEvent deployed = new ServiceDeployedCDEvent();
    deployed.setSource(source);
    deployed.setSubjectId("namespace/checkout");
    deployed.setSubjectSource(source);
    deployed.setSubjectEnvironmentId("production");
    deployed.setSubjectEnvironmentSource("/iaas/geo1");
    deployed.setSubjectArtifactId("pkg:oci/checkout@sha256%3A0b31b1c0?repository_url=registry.example/shop");
    ServiceRolledbackCDEvent back = new ServiceRolledbackCDEvent();
    back.setSource(source);
    back.setSubjectId("namespace/checkout");
    back.setSubjectSource(source);
    back.setSubjectEnvironmentId("production");
    back.setSubjectEnvironmentSource("/iaas/geo1");
    back.setSubjectArtifactId("pkg:oci/checkout@sha256%3A0b31b1c1?repository_url=registry.example/shop");
    IncidentDetectedCDEvent incident = new IncidentDetectedCDEvent();
    incident.setSource(URI.create("/monitoring/prod"));
    incident.setSubjectId("incident-4711");
    incident.setSubjectSource(URI.create("/monitoring/prod"));
    incident.setSubjectDescription("Response time above 100 ms");
    incident.setSubjectEnvironmentId("production");
    incident.setSubjectEnvironmentSource("/iaas/geo1");
    incident.setSubjectServiceId("namespace/checkout");
    incident.setSubjectServiceSource("/ci/prod");
    incident.setSubjectArtifactId("pkg:oci/checkout@sha256%3A0b31b1c0?repository_url=registry.example/shop");
    for (CDEvent event : new CDEvent[] {deployed, back, incident}) {
      for (boolean isBinary : new boolean[] {false, true}) {
        post(new URL(arguments[0] + (isBinary ? "/binary" : "/structured")), event, isBinary);
      }
    }
  }

  private static void post(URL url, CDEvent event, boolean isBinary) throws Exception {
    HttpURLConnection connection = (HttpURLConnection) url.openConnection();
    connection.setRequestMethod("POST");
    connection.setDoOutput(true);
    MessageWriter<?, ?> writer = HttpMessageFactory.createWriter(
        connection::setRequestProperty,
        body -> {
          try {
            connection.getOutputStream().write(body == null ? new byte[0] : body);
          } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
          }
        });
    if (isBinary) {
      writer.writeBinary(CDEvents.cdEventAsCloudEvent(event));
    } else {
      writer.writeStructured(CDEvents.cdEventAsCloudEvent(event), "application/cloudevents+json");
    }
    if (connection.getResponseCode() != 204) {
      throw new IllegalStateException("answered " + connection.getResponseCode());
    }
  }
}
