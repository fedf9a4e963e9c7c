-- The tables, and the eras in which they were written. With appending.sql, batches.sql,
-- reading.sql, verifying.sql and rights.sql version 1 of the schema, which
-- `store.schema.bootstrap_schema` makes as the owner role.
--
-- event   the log: every version of every entity, never changed
-- head    one row an entity: its newest version, the tip of its hash chain, the row that is locked
-- acl     who may see or write entities of others
-- seg     the present timeline: what holds now and later, disjoint periods an entity, with data
-- past    the part of the present timeline that had ended when it was cut: periods and versions

CREATE TABLE object_store.event (
    entity_id   uuid NOT NULL,
    version     integer NOT NULL,
    -- Where it stands in the log: (xid, seq).
    xid         xid8 NOT NULL,
    seq         bigint NOT NULL,
    event_type  text COLLATE "C" NOT NULL,
    type_name   text COLLATE "C" NOT NULL,
    owner       text COLLATE "C" NOT NULL,
    updated_by  text COLLATE "C" NOT NULL,
    tx_time     timestamptz NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz NOT NULL,
    state       text COLLATE "C",
    event_meta  jsonb,
    data        jsonb NOT NULL,
    -- Given by a client that may repeat the write, with a digest of what it asked for.
    event_id    uuid,
    request     bytea,
    hash        bytea NOT NULL,
    PRIMARY KEY (entity_id, version),
    CHECK (valid_from < valid_to)
);
CREATE SEQUENCE object_store.event_seq OWNED BY object_store.event.seq;
CREATE UNIQUE INDEX event_by_id ON object_store.event (event_id, updated_by)
    WHERE event_id IS NOT NULL;
CREATE UNIQUE INDEX event_by_position ON object_store.event (xid, seq);
CREATE INDEX event_by_time ON object_store.event (entity_id, tx_time)
    INCLUDE (valid_from, valid_to);

CREATE TABLE object_store.head (
    entity_id   uuid PRIMARY KEY,
    owner       text COLLATE "C" NOT NULL,
    type_name   text COLLATE "C" NOT NULL,
    version     integer NOT NULL,
    xid         xid8 NOT NULL,
    tx_time     timestamptz NOT NULL,
    hash        bytea NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX head_by_owner ON object_store.head (owner, type_name);

CREATE TABLE object_store.acl (
    entity_id   uuid NOT NULL,
    grantee     text COLLATE "C" NOT NULL,
    owner       text COLLATE "C" NOT NULL,
    can_read    boolean NOT NULL,
    can_write   boolean NOT NULL,
    PRIMARY KEY (grantee, entity_id)
);
CREATE INDEX acl_by_entity ON object_store.acl (entity_id);

-- Keyed by the end of the period: an ordinary update leaves that as it is, at infinity.
CREATE TABLE object_store.seg (
    entity_id   uuid NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz NOT NULL,
    version     integer NOT NULL,
    event_type  text COLLATE "C" NOT NULL,
    type_name   text COLLATE "C" NOT NULL,
    owner       text COLLATE "C" NOT NULL,
    updated_by  text COLLATE "C" NOT NULL,
    tx_time     timestamptz NOT NULL,
    state       text COLLATE "C",
    data        jsonb NOT NULL,
    -- The period of the whole event, of which this may be a part.
    event_from  timestamptz NOT NULL,
    event_to    timestamptz NOT NULL,
    PRIMARY KEY (entity_id, valid_to)
) WITH (fillfactor = 80);
CREATE INDEX seg_by_owner ON object_store.seg (owner, type_name, entity_id);

CREATE TABLE object_store.past (
    entity_id   uuid NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz NOT NULL,
    version     integer NOT NULL,
    tx_time     timestamptz NOT NULL,
    PRIMARY KEY (entity_id, valid_to)
);

-- Which cluster gave the numbers of transactions. A dump that is restored elsewhere begins a new
-- era, whose numbers are lifted above all earlier ones: see decision 0044.
CREATE TABLE object_store.era (
    number            integer PRIMARY KEY,
    system_identifier bigint NOT NULL,
    lift              bigint NOT NULL,
    began_at          timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The lift of the era that runs. A function, so that it costs a write nothing: it is inlined.
CREATE FUNCTION object_store.lift() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 0::bigint';

-- The number that a transaction has in the log.
CREATE FUNCTION object_store.log_xid(p_xid xid8) RETURNS xid8
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT (object_store.lift() + p_xid::text::bigint)::text::xid8
$$;

-- Everything in the log below this number is complete: what it wrote is there, or never will be.
CREATE FUNCTION object_store.fence() RETURNS xid8
LANGUAGE sql STABLE AS $$
    SELECT object_store.log_xid(pg_snapshot_xmin(pg_current_snapshot()))
$$;

-- Begin an era if this is another cluster than the one that wrote last; did one begin?
CREATE FUNCTION object_store.begin_era() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    here bigint := (SELECT system_identifier FROM pg_control_system());
    newest object_store.era;
    last_xid bigint;
BEGIN
    SELECT * INTO newest FROM object_store.era ORDER BY number DESC LIMIT 1;
    IF newest.system_identifier = here THEN
        RETURN false;
    END IF;
    SELECT xid::text::bigint INTO last_xid FROM object_store.event
    ORDER BY xid DESC, seq DESC LIMIT 1;
    INSERT INTO object_store.era VALUES (
        coalesce(newest.number, 0) + 1, here,
        greatest(coalesce(last_xid, 0) - pg_current_xact_id()::text::bigint, 0))
    RETURNING * INTO newest;
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION object_store.lift() RETURNS bigint '
        'LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $sql$ SELECT %s::bigint $sql$', newest.lift);
    RETURN true;
END $$;
SELECT object_store.begin_era();

-- What a write answers.
CREATE TYPE object_store.receipt AS (
    entity_id   uuid,
    version     integer,
    event_type  text,
    owner       text,
    updated_by  text,
    tx_time     timestamptz,
    valid_from  timestamptz,
    valid_to    timestamptz,
    state       text,
    -- Was it written before, under the same event_id?
    repeated    boolean
);
