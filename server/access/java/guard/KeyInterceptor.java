package guard;

import io.deephaven.server.session.SessionServiceGrpcImpl;
import io.deephaven.server.session.SessionState;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import java.util.Set;

/** Lets a call through that belongs to a session, which needs the key, and those that make a session of the key. */
final class KeyInterceptor implements ServerInterceptor {
    private static final String DEEPHAVEN = "io.deephaven.proto.backplane.grpc.";

    /** Hands a session to anybody. */
    static final String NEW_SESSION = DEEPHAVEN + "SessionService/NewSession";

    static final Set<String> TO_LOG_IN = Set.of(
            // Both take the key and refuse what is not the key.
            "arrow.flight.protocol.FlightService/Handshake",
            "io.deephaven.flightjs.protocol.BrowserFlightService/OpenHandshake",
            // Tells which kinds of login there are, which a login page needs.
            DEEPHAVEN + "ConfigService/GetAuthenticationConstants");

    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
            ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
        String method = call.getMethodDescriptor().getFullMethodName();
        if (method.equals(NEW_SESSION)) {
            return refuse(call, Status.UNAUTHENTICATED.withDescription("NewSession asks for no key; log in with it"));
        }
        SessionState session = SessionServiceGrpcImpl.SESSION_CONTEXT_KEY.get();
        if (TO_LOG_IN.contains(method) || session != null && !session.isExpired()) {
            return next.startCall(call, headers);
        }
        return refuse(call, Status.UNAUTHENTICATED.withDescription("log in with the server's key first"));
    }

    static <Q, A> ServerCall.Listener<Q> refuse(ServerCall<Q, A> call, Status status) {
        call.close(status, new Metadata());
        return new ServerCall.Listener<>() {};
    }
}
