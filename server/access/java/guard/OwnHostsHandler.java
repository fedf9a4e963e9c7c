package guard;

import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.http.HttpStatus;
import org.eclipse.jetty.http.HttpURI;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.util.Callback;

/**
 * Refuses requests for other hosts, and those that another origin's page sends.
 *
 * <p>The first is DNS rebinding: a foreign name that was made to point here. The second is what browsers do for any
 * page that a user visits. Both hold for every path and for the upgrade to a WebSocket.
 */
final class OwnHostsHandler extends Handler.Wrapper {
    private final Set<String> ownHosts;
    private final Set<String> otherHosts;

    OwnHostsHandler(Handler engine, Set<String> ownHosts, Set<String> otherHosts) {
        super(engine);
        this.ownHosts = ownHosts.stream().map(OwnHostsHandler::plain).collect(Collectors.toSet());
        this.otherHosts = otherHosts.stream().map(OwnHostsHandler::plain).collect(Collectors.toSet());
    }

    @Override
    public boolean handle(Request request, Response response, Callback callback) throws Exception {
        String refusal = refusal(request);
        if (refusal == null) {
            return super.handle(request, response, callback);
        }
        response.setStatus(HttpStatus.FORBIDDEN_403);
        response.getHeaders().put(HttpHeader.CONTENT_TYPE, "text/plain; charset=utf-8");
        response.getHeaders().put(HttpHeader.CACHE_CONTROL, "no-store");
        Content.Sink.write(response, true, refusal + "\n", callback);
        return true;
    }

    private String refusal(Request request) {
        HttpURI target = request.getHttpURI();
        int ownPort = ((InetSocketAddress) request.getConnectionMetaData().getLocalSocketAddress()).getPort();
        String named = request.getHeaders().get(HttpHeader.HOST);
        if (target.getHost() == null || named == null && target.getAuthority() == null) {
            return "the request names no host";
        }
        if (request.getHeaders().getValuesList(HttpHeader.HOST).size() > 1) {
            return "the request names more than one host";
        }
        if (!isOwn(target.getHost(), request)) {
            return "this server is not known as " + clean(target.getHost())
                    + "; ask for it by its own name, or start it with --allow-host";
        }
        int port = target.getPort() > 0 ? target.getPort() : target.getScheme().equals("https") ? 443 : 80;
        for (String origin : request.getHeaders().getValuesList(HttpHeader.ORIGIN)) {
            if (!isOwnOrigin(origin, port, ownPort, request)) {
                return "a page of " + clean(origin) + " may not use this server";
            }
        }
        return null;
    }

    private boolean isOwnOrigin(String origin, int askedPort, int ownPort, Request request) {
        URI from;
        try {
            from = URI.create(origin);
        } catch (IllegalArgumentException error) {
            return false;
        }
        if (from.getHost() == null || !("http".equals(from.getScheme()) || "https".equals(from.getScheme()))) {
            return false;
        }
        if (otherHosts.contains(plain(from.getHost()))) {
            return true;
        }
        int port = from.getPort() > 0 ? from.getPort() : from.getScheme().equals("https") ? 443 : 80;
        return isOwn(from.getHost(), request) && (port == askedPort || port == ownPort);
    }

    private boolean isOwn(String host, Request request) {
        String name = plain(host);
        return ownHosts.contains(name) || otherHosts.contains(name) || isOwnAddress(name, request);
    }

    /** The very address that the connection came to: no name stands behind it that could point elsewhere. */
    private static boolean isOwnAddress(String name, Request request) {
        SocketAddress local = request.getConnectionMetaData().getLocalSocketAddress();
        if (!(local instanceof InetSocketAddress)) {
            return false;
        }
        String address = ((InetSocketAddress) local).getAddress().getHostAddress();
        int zone = address.indexOf('%');
        return name.equals(zone < 0 ? address : address.substring(0, zone)) || name.equals(address);
    }

    private static String plain(String host) {
        String name = host.toLowerCase(Locale.ROOT);
        if (name.startsWith("[") && name.endsWith("]")) {
            name = name.substring(1, name.length() - 1);
        }
        if (name.indexOf(':') >= 0) {
            try {
                // A literal address, so nothing is looked up: ::1 has several ways to be written.
                name = java.net.InetAddress.getByName(name).getHostAddress();
            } catch (java.net.UnknownHostException error) {
                return name;
            }
        }
        return name.endsWith(".") ? name.substring(0, name.length() - 1) : name;
    }

    /** What was sent, without what could break a terminal or a page. */
    private static String clean(String text) {
        String cut = text.length() > 100 ? text.substring(0, 100) : text;
        return new String(cut.getBytes(StandardCharsets.US_ASCII), StandardCharsets.US_ASCII)
                .replaceAll("[^A-Za-z0-9.:/\\[\\]_-]", "?");
    }
}
