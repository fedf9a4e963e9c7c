"""Light clients of the server: a connection that takes care of itself, and one client a desk role.

```python
from client import DeephavenClient

with DeephavenClient() as client:
    prices = client.open_table("prices_live")
    print(prices.to_arrow().to_pandas())
```
"""

from client.base_client import DeephavenClient
from client.errors import (
    AccessDenied,
    ClientError,
    DeadlineExceeded,
    ServerError,
    ServerUnreachable,
    TableNotFound,
    ViewOnly,
)
from client.live_table import LiveTable

__all__ = [
    "AccessDenied",
    "ClientError",
    "DeadlineExceeded",
    "DeephavenClient",
    "LiveTable",
    "ServerError",
    "ServerUnreachable",
    "TableNotFound",
    "ViewOnly",
]
