"""The same tests on a server that is not the store's own: reached over TCP by a dsn.

Its administrator is no superuser, and owns what is made.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from store.admin.cluster import Cluster
from store.schema import bootstrap_schema, provision_user
from store.server import ObjectStoreServer, _programs
from tests.store.desk import ADMIN_PASSWORD, USERS, password_of
from tests.store.fixtures import TEMPLATE, be_quick


@pytest.fixture(scope="session")
def store_server() -> Iterator[ObjectStoreServer]:
    folder = Path(tempfile.mkdtemp(prefix="store-of-tests-"))
    cluster = Cluster(folder, ADMIN_PASSWORD, _programs())
    cluster.start()
    where = f"host=127.0.0.1 port={cluster.port}"
    owner = psycopg2.connect(f"{where} dbname=postgres user=postgres password='{ADMIN_PASSWORD}'")
    owner.autocommit = True
    with owner.cursor() as cursor:
        cursor.execute("CREATE ROLE dba LOGIN CREATEROLE CREATEDB PASSWORD 'dba'")
        cursor.execute("CREATE DATABASE desk OWNER dba")
    owner.close()
    login = f"{where} user=dba password=dba"
    with ObjectStoreServer(dsn=f"{login} dbname=desk") as server:
        be_quick(server)
        admin = server.admin_conn()
        for user in USERS:
            provision_user(admin, user, password_of(user))
        with admin.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {TEMPLATE}")
        admin.close()
        template = psycopg2.connect(f"{login} dbname={TEMPLATE}")
        bootstrap_schema(template)
        template.close()
        yield server
    cluster.stop()
    shutil.rmtree(folder)
