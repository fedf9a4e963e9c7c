"""The desk's API: HTTP and WebSocket, each request as the user of the store who logged in.

settings = ApiSettings(store=server.conn_info(), engine=7001, market=7002, link_key=key)
with ApiServer(settings, port=8000) as api:
    print(api.url)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trading.on_demand import on_demand

if TYPE_CHECKING:
    from trading.api.app import create_app, make_parts
    from trading.api.serving import ApiServer
    from trading.api.settings import ApiSettings

__all__ = ["ApiServer", "ApiSettings", "create_app", "make_parts"]

# The web server is imported when it is asked for: the replay process needs none.
_HOMES = {
    "trading.api.app": ("create_app", "make_parts"),
    "trading.api.serving": ("ApiServer",),
    "trading.api.settings": ("ApiSettings",),
}

__getattr__ = on_demand(__name__, _HOMES, globals())
