package guard;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.regex.Pattern;

/** Looks through a request of a client, whatever its type. */
final class Requests {
    /** Strings that are formulas, by the full name of their field. */
    private static final String MESSAGES = "io.deephaven.proto.backplane.grpc.";

    private static final Set<String> COLUMNS = Set.of(
            MESSAGES + "SelectOrUpdateRequest.column_specs",
            MESSAGES + "SelectDistinctRequest.column_names",
            MESSAGES + "HeadOrTailByRequest.group_by_column_specs");
    private static final Set<String> FILTERS = Set.of(MESSAGES + "UnstructuredFilterTableRequest.filters");

    /** Strings that the engine compares with values, and does not compile. */
    private static final Set<String> VALUES = Set.of(
            MESSAGES + "Literal.string_value",
            MESSAGES + "MatchesCondition.regex",
            MESSAGES + "ContainsCondition.search_string",
            MESSAGES + "SearchCondition.search_string",
            MESSAGES + "AggSpec.AggSpecNonUniqueSentinel.string_value",
            MESSAGES + "ApplyPreviewColumnsRequest.unpreviewed_types",
            MESSAGES + "TimeTableRequest.period_string");

    private static final Set<String> METHODS = Set.of(
            "startsWith", "endsWith", "contains", "equalsIgnoreCase", "isTrue", "matches", "inRange");

    /** Parts of requests that bring formulas of their own, or sizes without a bound. */
    private static final Set<String> REFUSED = Set.of(
            MESSAGES + "Selectable",
            MESSAGES + "AggSpec.AggSpecFormula",
            MESSAGES + "AggSpec.AggSpecTDigest",
            MESSAGES + "AggSpec.AggSpecApproximatePercentile",
            MESSAGES + "Aggregation.AggregationPartition",
            MESSAGES + "Aggregation.AggregationFormula",
            MESSAGES + "Aggregation.AggregationCountWhere");

    /** A column, or two of them: A, A=B, A>=B. */
    private static final Pattern NAMES = Pattern.compile("\\s*\\w*\\s*(([<>]=?|==?)\\s*\\w+\\s*)?");

    private Requests() {}

    /** Only what the session itself made and what the server published can be meant. */
    static void checkTickets(Message request) {
        visit(request, (field, value) -> {
            if (!field.getName().equals("ticket") || !(value instanceof ByteString)) {
                return;
            }
            ByteString ticket = (ByteString) value;
            if (!ticket.isEmpty() && "esa".indexOf(ticket.byteAt(0)) < 0) {
                throw Refusal.because("a ticket of this kind is not allowed: this server is view-only");
            }
        });
    }

    /** Hand the formulas of an operation on tables to their checks; other strings must be names or values. */
    static void checkStrings(Message request, Consumer<List<?>> columns, Consumer<List<?>> filters) {
        if (REFUSED.contains(request.getDescriptorForType().getFullName())) {
            throw Refusal.because(request.getDescriptorForType().getName() + " is not allowed: this server is view-only");
        }
        request.getAllFields().forEach((field, value) -> {
            String name = field.getFullName();
            List<?> values = field.isRepeated() ? (List<?>) value : List.of(value);
            if (COLUMNS.contains(name)) {
                columns.accept(values);
            } else if (FILTERS.contains(name)) {
                filters.accept(values);
            } else if (field.getJavaType() == FieldDescriptor.JavaType.MESSAGE) {
                values.forEach(each -> checkStrings((Message) each, columns, filters));
            } else if (field.getJavaType() == FieldDescriptor.JavaType.STRING && !VALUES.contains(name)) {
                values.forEach(each -> checkName(name, (String) each));
            }
        });
    }

    private static void checkName(String field, String text) {
        boolean allowed = field.equals(MESSAGES + "InvokeCondition.method")
                ? METHODS.contains(text)
                : text.length() <= Formula.LONGEST && NAMES.matcher(text).matches();
        if (!allowed) {
            throw Refusal.because("not allowed as " + field.substring(field.lastIndexOf('.') + 1)
                    + " on a view-only server: " + Formula.shown(text));
        }
    }

    private interface Visitor {
        void field(FieldDescriptor field, Object value);
    }

    private static void visit(Message message, Visitor visitor) {
        message.getAllFields().forEach((field, value) -> {
            for (Object each : field.isRepeated() ? (List<?>) value : List.of(value)) {
                if (each instanceof Message) {
                    visit((Message) each, visitor);
                } else {
                    visitor.field(field, each);
                }
            }
        });
    }
}
