package guard;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;

/** The errors of a view-only server. */
final class Refusal {
    private Refusal() {}

    static StatusRuntimeException because(String reason) {
        return Status.PERMISSION_DENIED.withDescription(reason).asRuntimeException();
    }

    static StatusRuntimeException tooMuch(String reason) {
        return Status.RESOURCE_EXHAUSTED.withDescription(reason).asRuntimeException();
    }
}
