"""Hosts of servers: as people write them, and as the libraries underneath want them.

An IPv6 address may stand in brackets or not; a name or an IPv4 address has none.
"""

from __future__ import annotations

import ipaddress
import socket


def bare_host(host: str) -> str:
    """Return a host as the socket library takes it: without brackets."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def link_host(host: str) -> str:
    """Return a host as it stands before a colon and a port: IPv6 in brackets."""
    return f"[{bare_host(host)}]" if ":" in host else host


def is_this_machine(host: str) -> bool:
    """Tell whether a host's name or address is one of this machine's own."""
    bare = bare_host(host).lower()
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        named = {"localhost", socket.gethostname().lower(), socket.getfqdn().lower()}
        return bare in named
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)
