package guard;

import com.google.protobuf.Message;
import io.deephaven.engine.table.Table;
import io.deephaven.proto.backplane.grpc.EmptyTableRequest;
import io.deephaven.proto.backplane.grpc.SnapshotWhenTableRequest;
import io.deephaven.proto.backplane.grpc.TimeTableRequest;
import io.deephaven.time.DateTimeUtils;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Which operations on tables a view-only server does for its clients: those whose results cannot outgrow their sources.
 *
 * <p>Asked once for each operation, also for those of a batch, when its sources are there.
 */
final class Operations {
    /** They read their sources without keeping anything for each row. */
    private static final Set<String> LAZY = Set.of(
            "FETCH_TABLE", "APPLY_PREVIEW_COLUMNS", "DROP_COLUMNS", "VIEW", "UPDATE_VIEW",
            "HEAD", "TAIL", "SLICE", "FLATTEN", "META_TABLE");

    /** They keep a number or two for each row. */
    private static final Set<String> LIGHT = Set.of(
            "FILTER", "UNSTRUCTURED_FILTER", "SORT", "WHERE_IN", "COLUMN_STATISTICS", "RUN_CHART_DOWNSAMPLE");

    /** They keep up to some columns for each row. */
    private static final Set<String> HEAVY = Set.of(
            "UPDATE", "SELECT", "LAZY_UPDATE", "SELECT_DISTINCT", "HEAD_BY", "TAIL_BY",
            "COMBO_AGGREGATE", "AGGREGATE_ALL", "AGGREGATE", "SNAPSHOT", "SNAPSHOT_WHEN",
            "NATURAL_JOIN", "EXACT_JOIN", "AS_OF_JOIN", "AJ", "RAJ", "EMPTY_TABLE", "TIME_TABLE");

    private static final long LIGHT_BYTES = 32;
    private static final long HEAVY_BYTES = 256;

    private static final long SHORTEST_PERIOD_NANOS = 100_000_000;

    /** A history adds all rows of its base at each change of its trigger. */
    private static final long HISTORY_ROWS = 1_000;

    private Operations() {}

    static void check(String name, Message request, List<Table> sources) {
        if (!LAZY.contains(name) && !LIGHT.contains(name) && !HEAVY.contains(name)) {
            throw Refusal.because(name + " is not allowed: this server is view-only");
        }
        if (HeapWatch.isShort()) {
            throw Refusal.tooMuch("the server is short of memory; close tables and try again");
        }
        Map<String, EnumSet<Formula.Kind>> columns = new HashMap<>();
        for (Table source : sources) {
            source.getDefinition().getColumns().forEach(column -> columns
                    .computeIfAbsent(column.getName(), unseen -> EnumSet.noneOf(Formula.Kind.class))
                    .addAll(Formula.Kind.of(column.getDataType())));
        }
        Requests.checkStrings(
                request,
                specifications -> Formula.checkColumns(specifications, columns),
                filters -> filters.forEach(filter -> Formula.checkFilter((String) filter, columns)));
        checkSize(name, request, sources);
    }

    private static void checkSize(String name, Message request, List<Table> sources) {
        long rows = 0;
        for (Table source : sources) {
            rows += source.size();
        }
        if (request instanceof EmptyTableRequest) {
            rows = ((EmptyTableRequest) request).getSize();
        } else if (request instanceof TimeTableRequest) {
            checkTimes((TimeTableRequest) request);
        } else if (request instanceof SnapshotWhenTableRequest) {
            SnapshotWhenTableRequest history = (SnapshotWhenTableRequest) request;
            if (history.getHistory() && sources.get(0).size() > HISTORY_ROWS) {
                throw Refusal.tooMuch("a history of more than " + HISTORY_ROWS + " rows is not kept for clients: "
                        + "this server is view-only");
            }
        }
        long bytes = HEAVY.contains(name) ? HEAVY_BYTES : LIGHT_BYTES;
        long most = Runtime.getRuntime().maxMemory() / bytes;
        if (rows > most && !LAZY.contains(name)) {
            throw Refusal.tooMuch(name + " of " + rows + " rows is not done for clients of a view-only server; "
                    + most + " rows are, which its heap can hold");
        }
    }

    private static void checkTimes(TimeTableRequest request) {
        boolean started = request.hasStartTimeString() || request.hasStartTimeNanos()
                && request.getStartTimeNanos() != Long.MIN_VALUE && request.getStartTimeNanos() != 0;
        if (started) {
            throw Refusal.tooMuch("a time table of a view-only server starts now; leave out its start");
        }
        long period = request.hasPeriodString()
                ? DateTimeUtils.parseDurationNanos(request.getPeriodString())
                : request.getPeriodNanos();
        if (period < SHORTEST_PERIOD_NANOS) {
            throw Refusal.tooMuch("a time table of a view-only server has a period of 100 ms or more");
        }
    }
}
