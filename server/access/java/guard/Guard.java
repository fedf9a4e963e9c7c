package guard;

import com.google.protobuf.Message;
import io.deephaven.engine.table.Table;
import io.deephaven.server.runner.DeephavenApiServer;
import io.deephaven.server.session.SessionService;
import io.grpc.ServerInterceptor;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.eclipse.jetty.ee10.servlet.FilterHolder;
import org.eclipse.jetty.ee10.webapp.WebAppContext;
import org.eclipse.jetty.server.Connector;
import org.eclipse.jetty.server.ForwardedRequestCustomizer;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.Server;

/**
 * Closes an embedded Deephaven server before it starts to listen.
 *
 * <p>The engine has no setting for any of this and no other seam for it, so its private fields are read. Whatever is
 * not found as expected is an error, and the caller does not start the server.
 */
public final class Guard {
    private Guard() {}

    /**
     * Put the checks in place.
     *
     * @param embedded the io.deephaven.python.server.EmbeddedServer, not started yet
     * @param ownHosts names and addresses under which clients may ask for this server on its own port
     * @param otherHosts further names, on any port: those of a proxy in front
     */
    public static void install(Object embedded, String[] ownHosts, String[] otherHosts) throws Exception {
        Server jetty = jetty(embedded);
        for (Connector connector : jetty.getConnectors()) {
            connector.getConnectionFactories().stream()
                    .filter(factory -> factory instanceof HttpConfiguration.ConnectionFactory)
                    .map(factory -> ((HttpConfiguration.ConnectionFactory) factory).getHttpConfiguration())
                    // A page could name another host in X-Forwarded-Host.
                    .forEach(http -> http.getCustomizers()
                            .removeIf(customizer -> customizer instanceof ForwardedRequestCustomizer));
        }
        Handler engine = jetty.getHandler();
        if (engine == null) {
            throw new IllegalStateException("the engine's web server has no handler");
        }
        jetty.setHandler(new OwnHostsHandler(engine, Set.of(ownHosts), Set.of(otherHosts)));
        requireMethods(embedded, KeyInterceptor.TO_LOG_IN);
        requireMethods(embedded, Set.of(KeyInterceptor.NEW_SESSION));
        addInterceptor(grpcServer(embedded), new KeyInterceptor());
    }

    /** A list with a name that is not the engine's does not do what it says. */
    private static void requireMethods(Object embedded, Set<String> names) throws Exception {
        List<String> served = List.of(methods(embedded));
        for (String name : names) {
            if (!served.contains(name)) {
                throw new IllegalStateException("the engine has no method " + name);
            }
        }
    }

    /** List every method that the engine serves, as Service/Method. */
    public static String[] methods(Object embedded) throws Exception {
        return grpcServer(embedded).getServices().stream()
                .flatMap(service -> service.getMethods().stream())
                .map(method -> method.getMethodDescriptor().getFullMethodName())
                .toArray(String[]::new);
    }

    /**
     * Let clients look and nothing else.
     *
     * @param embedded as for install, which was called before
     * @return the objects that clients may open by name, empty at first
     */
    public static Published restrict(Object embedded) throws Exception {
        Published published = new Published();
        SessionService sessions = ((DeephavenApiServer) read(embedded, "server")).sessionService();
        // Each session of a client gets its execution context here; formulas and tickets find names in it alone.
        Object factory = read(read(sessions, "sessionFactory"), "delegateFactory");
        wrapProvider(factory, published);

        io.grpc.Server grpc = grpcServer(embedded);
        requireMethods(embedded, ViewOnlyInterceptor.ALLOWED);
        addInterceptor(grpc, new ViewOnlyInterceptor(published));
        restrictOperations(grpc);
        new HeapWatch(sessions).start();
        return published;
    }

    private static void wrapProvider(Object factory, Published published) throws Exception {
        Field field = field(factory.getClass(), "executionContextProvider");
        Object original = field.get(factory);
        field.set(factory, Proxy.newProxyInstance(
                Guard.class.getClassLoader(),
                new Class<?>[] {field.getType()},
                (proxy, method, arguments) -> {
                    Object result = call(original, method, arguments);
                    return method.getName().equals("get") ? published.contextFor(result) : result;
                }));
    }

    private static void restrictOperations(io.grpc.Server grpc) throws Exception {
        ServerMethodDefinition<?, ?> batch = null;
        for (ServerServiceDefinition service : grpc.getServices()) {
            ServerMethodDefinition<?, ?> found =
                    service.getMethod("io.deephaven.proto.backplane.grpc.TableService/Batch");
            batch = found == null ? batch : found;
        }
        if (batch == null) {
            throw new IllegalStateException("the engine has no TableService");
        }
        Object service = read(read(batch.getServerCallHandler(), "method"), "serviceImpl");
        Map<?, ?> operations = (Map<?, ?>) read(service, "operationMap");
        if (operations.isEmpty()) {
            throw new IllegalStateException("the engine's TableService has no operations");
        }
        for (Map.Entry<?, ?> entry : operations.entrySet()) {
            String name = ((Enum<?>) entry.getKey()).name();
            Field field = field(entry.getValue().getClass(), "permission");
            Object original = field.get(entry.getValue());
            field.set(entry.getValue(), Proxy.newProxyInstance(
                    Guard.class.getClassLoader(),
                    new Class<?>[] {field.getType()},
                    (proxy, method, arguments) -> {
                        if (method.getName().equals("check")) {
                            @SuppressWarnings("unchecked")
                            List<Table> sources = (List<Table>) arguments[2];
                            Operations.check(name, (Message) arguments[1], sources);
                        }
                        return call(original, method, arguments);
                    }));
        }
    }

    private static Object call(Object target, Method method, Object[] arguments) throws Throwable {
        try {
            method.setAccessible(true);
            return method.invoke(target, arguments);
        } catch (java.lang.reflect.InvocationTargetException error) {
            throw error.getCause();
        }
    }

    private static Server jetty(Object embedded) throws Exception {
        return (Server) read(((DeephavenApiServer) read(embedded, "server")).server(), "jetty");
    }

    /** The one that all transports end in: HTTP/2, gRPC-web, and both kinds of WebSocket. */
    private static io.grpc.Server grpcServer(Object embedded) throws Exception {
        Object backed = ((DeephavenApiServer) read(embedded, "server")).server();
        WebAppContext context = (WebAppContext) read(backed, "context");
        Object adapter = null;
        for (FilterHolder holder : context.getServletHandler().getFilters()) {
            if (holder.getHeldClass().getName().equals("io.deephaven.server.jetty.GrpcFilter")) {
                adapter = read(read(holder, "_instance"), "grpcAdapter");
            }
        }
        if (adapter == null) {
            throw new IllegalStateException("the engine's web server has no GrpcFilter");
        }
        return (io.grpc.Server) read(read(adapter, "transportListener"), "val$server");
    }

    /** Add one that runs after the engine's own, which find the session of a call. */
    private static void addInterceptor(io.grpc.Server grpc, ServerInterceptor added) throws Exception {
        Field field = field(grpc.getClass(), "interceptors");
        ServerInterceptor[] before = (ServerInterceptor[]) field.get(grpc);
        if (before.length == 0) {
            throw new IllegalStateException("the engine has no interceptor that finds sessions");
        }
        // The first is the innermost.
        ServerInterceptor[] after =
                (ServerInterceptor[]) Array.newInstance(ServerInterceptor.class, before.length + 1);
        after[0] = added;
        System.arraycopy(before, 0, after, 1, before.length);
        field.set(grpc, after);
    }

    private static Object read(Object object, String name) throws Exception {
        Object value = field(object.getClass(), name).get(object);
        if (value == null) {
            throw new IllegalStateException(object.getClass().getName() + "." + name + " is empty");
        }
        return value;
    }

    private static Field field(Class<?> type, String name) throws Exception {
        for (Class<?> at = type; at != null; at = at.getSuperclass()) {
            for (Field field : at.getDeclaredFields()) {
                if (field.getName().equals(name)) {
                    field.setAccessible(true);
                    return field;
                }
            }
        }
        throw new NoSuchFieldException(type.getName() + " has no field " + name);
    }
}
