"""The desk's API: HTTP and WebSocket, each request as the user of the store who logged in.

settings = ApiSettings(store=server.conn_info(), engine=7001, market=7002, link_key=key)
with ApiServer(settings, port=8000) as api:
    print(api.url)
"""

from trading.api.app import create_app, make_parts
from trading.api.serving import ApiServer
from trading.api.settings import ApiSettings

__all__ = ["ApiServer", "ApiSettings", "create_app", "make_parts"]
