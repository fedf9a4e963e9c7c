"""The desk's API: HTTP and WebSocket, each request as the user of the store who logged in.

settings = ApiSettings(store=server.conn_info(), engine=7001, market=7002, link_key=key)
with ApiServer(settings, port=8000) as api:
    print(api.url)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trading.api.app import create_app, make_parts
    from trading.api.serving import ApiServer
    from trading.api.settings import ApiSettings

__all__ = ["ApiServer", "ApiSettings", "create_app", "make_parts"]

# The web server is imported when it is asked for: the replay process needs none.
_PLACES = {
    "ApiServer": "serving",
    "ApiSettings": "settings",
    "create_app": "app",
    "make_parts": "app",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{place}"), name)
