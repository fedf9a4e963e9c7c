package guard;

import com.google.protobuf.Message;
import io.deephaven.proto.backplane.grpc.FieldInfo;
import io.deephaven.proto.backplane.grpc.FieldsChangeUpdate;
import io.grpc.ForwardingServerCall.SimpleForwardingServerCall;
import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/** Lets the calls through that look at what the server publishes; everything else is refused. */
final class ViewOnlyInterceptor implements ServerInterceptor {
    private static final String DEEPHAVEN = "io.deephaven.proto.backplane.grpc.";
    private static final String FLIGHT = "arrow.flight.protocol.FlightService/";
    private static final String BROWSER_FLIGHT = "io.deephaven.flightjs.protocol.BrowserFlightService/";
    private static final String CONSOLE = "io.deephaven.proto.backplane.script.grpc.ConsoleService/";

    /** Which operations on tables are allowed is up to Operations. */
    private static final String TABLES = DEEPHAVEN + "TableService/";

    static final Set<String> ALLOWED = Set.of(
            FLIGHT + "Handshake",
            FLIGHT + "DoGet",
            FLIGHT + "DoExchange",
            BROWSER_FLIGHT + "OpenHandshake",
            BROWSER_FLIGHT + "NextHandshake",
            BROWSER_FLIGHT + "OpenDoExchange",
            BROWSER_FLIGHT + "NextDoExchange",
            DEEPHAVEN + "ConfigService/GetAuthenticationConstants",
            DEEPHAVEN + "ConfigService/GetConfigurationConstants",
            DEEPHAVEN + "ApplicationService/ListFields",
            DEEPHAVEN + "SessionService/RefreshSessionToken",
            DEEPHAVEN + "SessionService/CloseSession",
            DEEPHAVEN + "SessionService/Release",
            DEEPHAVEN + "SessionService/ExportFromTicket",
            DEEPHAVEN + "SessionService/ExportNotifications",
            DEEPHAVEN + "SessionService/TerminationNotification",
            DEEPHAVEN + "ObjectService/FetchObject",
            DEEPHAVEN + "ObjectService/MessageStream",
            DEEPHAVEN + "ObjectService/OpenMessageStream",
            DEEPHAVEN + "ObjectService/NextMessageStream",
            "grpc.health.v1.Health/Check",
            "grpc.health.v1.Health/Watch",
            // The console is off, and says so.
            CONSOLE + "GetConsoleTypes",
            CONSOLE + "StartConsole");

    private final Published published;

    ViewOnlyInterceptor(Published published) {
        this.published = published;
    }

    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
            ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
        String method = call.getMethodDescriptor().getFullMethodName();
        if (!ALLOWED.contains(method) && !method.startsWith(TABLES)) {
            return KeyInterceptor.refuse(call, Status.PERMISSION_DENIED.withDescription(
                    method + " is not allowed: this server is view-only"));
        }
        ServerCall<Q, A> answering = new SimpleForwardingServerCall<>(call) {
            @Override
            public void sendMessage(A answer) {
                super.sendMessage(withoutVariables(answer));
            }
        };
        return new SimpleForwardingServerCallListener<>(next.startCall(answering, headers)) {
            private boolean refused;

            @Override
            public void onMessage(Q request) {
                if (request instanceof Message) {
                    try {
                        Requests.checkTickets((Message) request);
                    } catch (StatusRuntimeException refusal) {
                        refused = true;
                        call.close(refusal.getStatus(), new Metadata());
                        return;
                    }
                }
                super.onMessage(request);
            }

            @Override
            public void onHalfClose() {
                if (!refused) {
                    super.onHalfClose();
                }
            }
        };
    }

    /** The engine lists the variables of the server's main module, which clients cannot open here. */
    @SuppressWarnings("unchecked")
    private <A> A withoutVariables(A answer) {
        if (!(answer instanceof FieldsChangeUpdate)) {
            return answer;
        }
        FieldsChangeUpdate update = (FieldsChangeUpdate) answer;
        return (A) FieldsChangeUpdate.newBuilder()
                .addAllCreated(known(update.getCreatedList()))
                .addAllUpdated(known(update.getUpdatedList()))
                .addAllRemoved(known(update.getRemovedList()))
                .build();
    }

    private List<FieldInfo> known(List<FieldInfo> fields) {
        return fields.stream()
                .filter(field -> !field.getApplicationId().equals("scope") || published.has(field.getFieldName()))
                .collect(Collectors.toList());
    }
}
