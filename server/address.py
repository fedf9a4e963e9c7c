"""Hosts as they stand in links and messages: an IPv6 address stands in brackets."""

from __future__ import annotations


def bare_host(host: str) -> str:
    """Return a host without the brackets that an IPv6 address has in a link."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def host_and_port(host: str, port: int) -> str:
    """Return host and port as a link has them: `localhost:10000`, `[::1]:10000`."""
    bare = bare_host(host)
    # The zone of a link-local address follows a percent sign, which a link cannot carry as it is.
    return f"[{bare.replace('%', '%25')}]:{port}" if ":" in bare else f"{bare}:{port}"
