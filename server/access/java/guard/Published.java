package guard;

import io.deephaven.engine.context.ExecutionContext;
import io.deephaven.engine.context.StandaloneQueryScope;

/** What clients of a view-only server may open by name, and all that names in their formulas can mean. */
public final class Published {
    private final Scope scope = new Scope();

    Published() {}

    /** Let clients open an object: a table, or the Python object of a dashboard. */
    public void put(String name, Object value) {
        scope.publish(name, value);
    }

    boolean has(String name) {
        return scope.hasParamName(name);
    }

    ExecutionContext contextFor(Object engines) {
        return ((ExecutionContext) engines).withQueryScope(scope);
    }

    private static final class Scope extends StandaloneQueryScope {
        void publish(String name, Object value) {
            super.putParam(name, value);
        }

        @Override
        public <T> void putParam(String name, T value) {
            throw Refusal.because("nothing can be published under " + name + ": this server is view-only");
        }
    }
}
