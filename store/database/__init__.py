"""The way to PostgreSQL: log-ins, connections, statements, errors by SQLSTATE, and wake-ups.

connection = Connection(user="alice", password="…", host=…, port=…, dbname=…, pool_size=8)
with connection.transaction():
    connection.write("SELECT object_store.…", values)

Nothing here knows what the store keeps. `sql/` has the tables and functions of the schema.
"""

from store.database.connection import Connection, Transaction
from store.database.execute import PgConnection, PgCursor, execute
from store.database.login import Login, address, connect
from store.database.sqlstates import login_refused, translated

__all__ = [
    "Connection",
    "Login",
    "PgConnection",
    "PgCursor",
    "Transaction",
    "address",
    "connect",
    "execute",
    "login_refused",
    "translated",
]
