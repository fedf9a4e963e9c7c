-- What reads a field for filters and indexes, made by a superuser: only one may say LEAKPROOF,
-- without which a filter of an ordinary user finds no index. The C functions behind them raise no
-- error for any data.

CREATE FUNCTION object_store.json_text(jsonb, text) RETURNS text LANGUAGE internal
    IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'jsonb_object_field_text';
CREATE FUNCTION object_store.json_value(jsonb, text) RETURNS jsonb LANGUAGE internal
    IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'jsonb_object_field';

-- Comparisons of numbers in JSON, exact whatever their size.
CREATE FUNCTION object_store.json_lt(jsonb, jsonb) RETURNS boolean LANGUAGE internal
    IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'jsonb_lt';
CREATE FUNCTION object_store.json_le(jsonb, jsonb) RETURNS boolean LANGUAGE internal
    IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'jsonb_le';
CREATE FUNCTION object_store.json_eq(jsonb, jsonb) RETURNS boolean LANGUAGE internal
    IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'jsonb_eq';
CREATE FUNCTION object_store.json_ge(jsonb, jsonb) RETURNS boolean LANGUAGE internal
    IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'jsonb_ge';
CREATE FUNCTION object_store.json_gt(jsonb, jsonb) RETURNS boolean LANGUAGE internal
    IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'jsonb_gt';
CREATE OPERATOR object_store.< (LEFTARG = jsonb, RIGHTARG = jsonb,
    FUNCTION = object_store.json_lt, RESTRICT = scalarltsel);
CREATE OPERATOR object_store.<= (LEFTARG = jsonb, RIGHTARG = jsonb,
    FUNCTION = object_store.json_le, RESTRICT = scalarlesel);
CREATE OPERATOR object_store.= (LEFTARG = jsonb, RIGHTARG = jsonb,
    FUNCTION = object_store.json_eq, RESTRICT = eqsel);
CREATE OPERATOR object_store.>= (LEFTARG = jsonb, RIGHTARG = jsonb,
    FUNCTION = object_store.json_ge, RESTRICT = scalargesel);
CREATE OPERATOR object_store.> (LEFTARG = jsonb, RIGHTARG = jsonb,
    FUNCTION = object_store.json_gt, RESTRICT = scalargtsel);
CREATE OPERATOR CLASS object_store.json_order FOR TYPE jsonb USING btree AS
    OPERATOR 1 object_store.<, OPERATOR 2 object_store.<=, OPERATOR 3 object_store.=,
    OPERATOR 4 object_store.>=, OPERATOR 5 object_store.>,
    FUNCTION 1 pg_catalog.jsonb_cmp(jsonb, jsonb);
