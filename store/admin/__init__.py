"""What administrators do: a server's directory and process, roles, users and indexes.

from store.schema import bootstrap_schema, provision_user   # the public names
from store.server import ObjectStoreServer

`cluster`, `data_directory` and `postmaster` start and stop a PostgreSQL of the store's own;
`roles`, `users` and `indexing` work on any server that an administrator is logged in to.
"""
