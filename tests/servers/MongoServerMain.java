import de.bwaldvogel.mongo.MongoBackend;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/** Serves MongoDB's protocol: java MongoServerMain PORT [FILE]. With a file, documents survive a clean stop. */
public final class MongoServerMain {
    /** Today's drivers refuse the library's newest version, whose wire version is 8. */
    private static final class Mongo44 implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(4, 4, 0);
        }

        @Override
        public int getWireVersion() {
            return 9;
        }
    }

    public static void main(String[] args) {
        MongoBackend backend = args.length > 1 ? new H2Backend(args[1]) : new MemoryBackend();
        MongoServer server = new MongoServer(backend.version(new Mongo44()));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind(System.getProperty("host", "127.0.0.1"), Integer.parseInt(args[0]));
    }
}
