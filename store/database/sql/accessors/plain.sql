-- The same names as in superuser.sql, for a server whose administrator is no superuser: filters
-- mean the same, but PostgreSQL asks them only of rows that the user may see, without an index.

CREATE FUNCTION object_store.json_text(d jsonb, k text) RETURNS text LANGUAGE sql
    IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT d ->> k';
CREATE FUNCTION object_store.json_value(d jsonb, k text) RETURNS jsonb LANGUAGE sql
    IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT d -> k';
CREATE OPERATOR object_store.<= (LEFTARG = jsonb, RIGHTARG = jsonb,
    FUNCTION = pg_catalog.jsonb_le, RESTRICT = scalarlesel);
CREATE OPERATOR object_store.= (LEFTARG = jsonb, RIGHTARG = jsonb,
    FUNCTION = pg_catalog.jsonb_eq, RESTRICT = eqsel);
CREATE OPERATOR object_store.>= (LEFTARG = jsonb, RIGHTARG = jsonb,
    FUNCTION = pg_catalog.jsonb_ge, RESTRICT = scalargesel);
