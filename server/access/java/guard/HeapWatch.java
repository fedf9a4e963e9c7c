package guard;

import io.deephaven.internal.log.LoggerFactory;
import io.deephaven.io.logger.Logger;
import io.deephaven.server.session.SessionService;

/**
 * Keeps what clients made from filling the heap, whose exhaustion ends the process.
 *
 * <p>Short of memory it refuses new operations; very short, it closes the sessions of all clients, which frees all
 * that they made. Their programs connect again.
 */
final class HeapWatch extends Thread {
    private static final Logger log = LoggerFactory.getLogger(HeapWatch.class);
    private static final double SHORT = 0.70;
    private static final double VERY_SHORT = 0.85;
    private static final long LOOK_MILLIS = 250;
    private static final long NANOS_BETWEEN_COLLECTIONS = 5_000_000_000L;

    private static volatile boolean isShort;

    private final SessionService sessions;
    private long collected = System.nanoTime() - NANOS_BETWEEN_COLLECTIONS;

    HeapWatch(SessionService sessions) {
        super("heap watch");
        this.sessions = sessions;
        setDaemon(true);
    }

    static boolean isShort() {
        return isShort;
    }

    @Override
    public void run() {
        while (true) {
            try {
                Thread.sleep(LOOK_MILLIS);
                look();
            } catch (InterruptedException ended) {
                return;
            } catch (RuntimeException error) {
                log.error().append("the heap could not be watched: ").append(error).endl();
            }
        }
    }

    private void look() {
        if (used() > SHORT && System.nanoTime() - collected > NANOS_BETWEEN_COLLECTIONS) {
            // Much of it may be garbage.
            System.gc();
            collected = System.nanoTime();
            isShort = used() > SHORT;
            if (used() > VERY_SHORT) {
                log.error().append("the heap is nearly full: all sessions of clients are closed").endl();
                sessions.closeAllSessions();
                System.gc();
            }
        } else if (used() <= SHORT) {
            isShort = false;
        }
    }

    private static double used() {
        Runtime runtime = Runtime.getRuntime();
        return (double) (runtime.totalMemory() - runtime.freeMemory()) / runtime.maxMemory();
    }
}
