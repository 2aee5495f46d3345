import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import software.amazon.dynamodb.services.local.main.ServerRunner;

/** DynamoDB Local on any free port of the loopback interface: its own main listens to the whole network. */
class DynamoDBLocal {
    public static void main(String[] arguments) throws Exception {
        var local = ServerRunner.createServerFromCommandLineArgs(
                new String[] {"-inMemory", "-sharedDb", "-disableTelemetry"});
        var field = local.getClass().getDeclaredField("server");
        field.setAccessible(true);
        var server = (Server) field.get(local);
        var connector = (ServerConnector) server.getConnectors()[0];
        connector.setHost("127.0.0.1");
        connector.setPort(0);
        server.start();
        System.out.println("http://127.0.0.1:" + connector.getLocalPort());
        server.join();
    }
}
