-- Version 1 of the store's schema. Run by `store.schema.bootstrap_schema` as the owner role.
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

-- The number that a transaction has in the log.
CREATE FUNCTION object_store.log_xid(p_xid xid8) RETURNS xid8
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN ((SELECT lift FROM object_store.era ORDER BY number DESC LIMIT 1)
        + p_xid::text::bigint)::text::xid8;
END $$;

-- Everything in the log below this number is complete: what it wrote is there, or never will be.
CREATE FUNCTION object_store.fence() RETURNS xid8
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
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
        greatest(coalesce(last_xid, 0) - pg_current_xact_id()::text::bigint, 0));
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

-- The hash of an event: over the one before it in its entity, and all that it says.
CREATE FUNCTION object_store.chained(previous bytea, e object_store.event) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sha256(previous || record_send(ROW(
        e.entity_id, e.version, e.xid, e.seq, e.event_type, e.type_name, e.owner, e.updated_by,
        e.tx_time, e.valid_from, e.valid_to, e.state, e.event_meta, e.data, e.event_id, e.request)))
$$;

-- Refuse a period that is empty, or has a bound outside of the years 1 to 9999.
CREATE FUNCTION object_store.check_period(valid_from timestamptz, valid_to timestamptz)
RETURNS void LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF valid_from >= valid_to THEN
        RAISE EXCEPTION 'valid_to % does not come after valid_from %', valid_to, valid_from
            USING ERRCODE = 'OS003';
    END IF;
    IF valid_from < '0001-01-02 UTC' OR valid_from > '9999-12-30 UTC'
        OR (valid_to > '9999-12-30 UTC' AND valid_to <> 'infinity') THEN
        RAISE EXCEPTION 'a bound of % to % is outside of the years 1 to 9999', valid_from, valid_to
            USING ERRCODE = 'OS003';
    END IF;
END $$;

-- Lock the head of an entity that the user may write, and return it.
CREATE FUNCTION object_store.locked_head(p_entity_id uuid) RETURNS object_store.head
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    h object_store.head;
    may_write boolean;
BEGIN
    SELECT head.owner = session_user OR a.can_write INTO may_write
    FROM object_store.head
    LEFT JOIN object_store.acl a ON a.entity_id = head.entity_id AND a.grantee = session_user
    WHERE head.entity_id = p_entity_id;
    IF may_write IS NULL THEN
        RAISE EXCEPTION 'no entity % that % may see', p_entity_id, session_user
            USING ERRCODE = 'OS002';
    ELSIF NOT may_write THEN
        RAISE EXCEPTION 'entity % is shared with % for reading only', p_entity_id, session_user
            USING ERRCODE = '42501';
    END IF;
    SELECT * INTO h FROM object_store.head WHERE head.entity_id = p_entity_id FOR UPDATE;
    RETURN h;
END $$;

-- Cut the period of a new event out of the present timeline and put the event there.
CREATE FUNCTION object_store.place(e object_store.event) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    s object_store.seg;
    piece object_store.seg;
    pieces object_store.seg[] := '{}';
BEGIN
    -- The usual case: the period reaches the end of the segment that it falls into.
    IF e.event_type <> 'DELETED' AND e.valid_from <= e.tx_time AND e.valid_to > e.tx_time THEN
        SELECT * INTO s FROM object_store.seg
        WHERE seg.entity_id = e.entity_id AND seg.valid_to = e.valid_to
            AND seg.valid_from <= e.valid_from;
        IF FOUND THEN
            UPDATE object_store.seg SET
                valid_from = e.valid_from, version = e.version, event_type = e.event_type,
                type_name = e.type_name, updated_by = e.updated_by, tx_time = e.tx_time,
                state = e.state, data = e.data, event_from = e.valid_from, event_to = e.valid_to
            WHERE seg.entity_id = e.entity_id AND seg.valid_to = e.valid_to;
            IF s.valid_from < e.valid_from THEN
                INSERT INTO object_store.past
                VALUES (e.entity_id, s.valid_from, e.valid_from, s.version, s.tx_time);
            END IF;
            RETURN;
        END IF;
    END IF;

    WITH cut AS (
        DELETE FROM object_store.past p
        WHERE p.entity_id = e.entity_id
            AND p.valid_to > e.valid_from AND p.valid_from < e.valid_to
        RETURNING p.*
    )
    INSERT INTO object_store.past
    SELECT entity_id, valid_from, e.valid_from, version, tx_time
    FROM cut WHERE valid_from < e.valid_from
    UNION ALL
    SELECT entity_id, e.valid_to, valid_to, version, tx_time
    FROM cut WHERE valid_to > e.valid_to;

    FOR s IN
        DELETE FROM object_store.seg
        WHERE seg.entity_id = e.entity_id
            AND seg.valid_to > e.valid_from AND seg.valid_from < e.valid_to
        RETURNING seg.*
    LOOP
        IF s.valid_from < e.valid_from THEN
            piece := s;
            piece.valid_to := e.valid_from;
            pieces := pieces || piece;
        END IF;
        IF s.valid_to > e.valid_to THEN
            piece := s;
            piece.valid_from := e.valid_to;
            pieces := pieces || piece;
        END IF;
    END LOOP;
    IF e.event_type <> 'DELETED' THEN
        pieces := pieces || ROW(
            e.entity_id, e.valid_from, e.valid_to, e.version, e.event_type, e.type_name, e.owner,
            e.updated_by, e.tx_time, e.state, e.data, e.valid_from, e.valid_to)::object_store.seg;
    END IF;
    INSERT INTO object_store.past
    SELECT p.entity_id, p.valid_from, p.valid_to, p.version, p.tx_time
    FROM unnest(pieces) p WHERE p.valid_to <= e.tx_time;
    INSERT INTO object_store.seg
    SELECT p.* FROM unnest(pieces) p WHERE p.valid_to > e.tx_time;
END $$;

-- Refuse a write that builds on another version than the newest, or that would stand before it in
-- the log: see decision 0041.
CREATE FUNCTION object_store.refuse(
    p_entity_id uuid, p_version integer, p_xid xid8, p_expected integer
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF p_version IS DISTINCT FROM p_expected THEN
        RAISE EXCEPTION 'entity % is at version %', p_entity_id, p_version
            USING ERRCODE = 'OS001',
                DETAIL = format('%s %s %s', p_entity_id, coalesce(p_expected, 0), p_version);
    END IF;
    IF (SELECT system_identifier FROM pg_control_system()) <> (
        SELECT system_identifier FROM object_store.era ORDER BY number DESC LIMIT 1) THEN
        RAISE EXCEPTION 'this database was restored from another cluster; let an administrator run '
            'bootstrap_schema, or start the server, before it is written' USING ERRCODE = 'OS006';
    END IF;
    RAISE EXCEPTION 'entity % was written by a transaction that began later', p_entity_id
        USING ERRCODE = 'OS005';
END $$;

-- Append one event. `p_kind` is CREATED, UPDATED, DELETED or STATE_CHANGE; `p_expected` is the
-- newest version that the client knows of. Missing bounds mean from now on, for ever. With
-- `p_any_payload` a repeated id answers for whatever data, state and period: a step of a workflow
-- that is run again sees other clocks.
CREATE FUNCTION object_store.append(
    p_kind text, p_entity_id uuid, p_expected integer, p_type_name text, p_data jsonb,
    p_state text, p_valid_from timestamptz, p_valid_to timestamptz, p_meta jsonb, p_event_id uuid,
    p_any_payload boolean DEFAULT false
) RETURNS object_store.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    h object_store.head;
    e object_store.event;
    is_new boolean := p_kind = 'CREATED';
BEGIN
    IF p_kind IS NULL OR p_kind NOT IN ('CREATED', 'UPDATED', 'DELETED', 'STATE_CHANGE') THEN
        RAISE EXCEPTION 'no kind of event: %', p_kind USING ERRCODE = '22023';
    END IF;
    IF NOT is_new THEN
        h := object_store.locked_head(p_entity_id);
    END IF;
    IF p_event_id IS NOT NULL THEN
        -- The id of a new entity is made up by the client for each attempt.
        e.request := sha256(record_send(ROW(
            p_kind, CASE WHEN NOT is_new THEN p_entity_id END, p_type_name, p_data, p_state,
            p_valid_from, p_valid_to, p_meta)));
        DECLARE first object_store.event;
        BEGIN
            SELECT * INTO first FROM object_store.event
            WHERE event.event_id = p_event_id AND event.updated_by = session_user;
            IF FOUND THEN
                IF (CASE WHEN p_any_payload
                    THEN replace(first.event_type, 'CORRECTED', 'UPDATED') <> p_kind
                        OR first.type_name <> p_type_name
                        OR (first.entity_id <> p_entity_id AND NOT is_new)
                    ELSE first.request <> e.request END)
                THEN
                    RAISE EXCEPTION 'event_id % was used for another write, version % of entity %',
                        p_event_id, first.version, first.entity_id USING ERRCODE = 'OS004';
                END IF;
                RETURN (first.entity_id, first.version, first.event_type, first.owner,
                    first.updated_by, first.tx_time, first.valid_from, first.valid_to, first.state,
                    true);
            END IF;
        END;
    END IF;
    -- First the number, then the clock: see decision 0041 on reading the past.
    e.xid := object_store.log_xid(pg_current_xact_id());
    IF NOT is_new AND (h.version IS DISTINCT FROM p_expected OR h.xid > e.xid) THEN
        PERFORM object_store.refuse(p_entity_id, h.version, h.xid, p_expected);
    END IF;
    e.tx_time := greatest(clock_timestamp(), h.tx_time + interval '1 microsecond');
    e.seq := nextval('object_store.event_seq');
    e.entity_id := p_entity_id;
    e.version := coalesce(h.version, 0) + 1;
    e.valid_from := coalesce(p_valid_from, e.tx_time);
    e.valid_to := coalesce(p_valid_to, 'infinity');
    PERFORM object_store.check_period(e.valid_from, e.valid_to);
    e.event_type := CASE
        WHEN p_kind = 'UPDATED' AND e.valid_from < e.tx_time THEN 'CORRECTED' ELSE p_kind END;
    e.type_name := p_type_name;
    e.owner := coalesce(h.owner, session_user);
    e.updated_by := session_user;
    e.state := p_state;
    e.event_meta := p_meta;
    e.event_id := p_event_id;
    e.data := p_data;
    IF p_kind = 'DELETED' THEN
        SELECT event.data INTO e.data FROM object_store.event
        WHERE event.entity_id = p_entity_id AND event.version = h.version;
    END IF;
    e.hash := object_store.chained(coalesce(h.hash, ''), e);

    INSERT INTO object_store.event VALUES (e.*);
    IF is_new THEN
        INSERT INTO object_store.head
        VALUES (e.entity_id, e.owner, e.type_name, e.version, e.xid, e.tx_time, e.hash);
    ELSE
        UPDATE object_store.head SET
            type_name = e.type_name, version = e.version, xid = e.xid, tx_time = e.tx_time,
            hash = e.hash
        WHERE head.entity_id = e.entity_id;
    END IF;
    PERFORM object_store.place(e);
    RETURN (e.entity_id, e.version, e.event_type, e.owner, e.updated_by, e.tx_time, e.valid_from,
        e.valid_to, e.state, false);
END $$;

-- Append new entities, all or none, in the order of the arrays.
CREATE FUNCTION object_store.append_new(
    p_entity_ids uuid[], p_type_names text[], p_data jsonb[], p_states text[],
    p_valid_from timestamptz, p_valid_to timestamptz
) RETURNS SETOF object_store.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own_xid xid8 := object_store.log_xid(pg_current_xact_id());
BEGIN
    RETURN QUERY
    WITH timed AS MATERIALIZED (
        SELECT *, clock_timestamp() AS tx_time, nextval('object_store.event_seq') AS seq
        FROM unnest(p_entity_ids, p_type_names, p_data, p_states)
            WITH ORDINALITY AS given (entity_id, type_name, data, state, place)
    ), bare AS (
        SELECT place, ROW(
            entity_id, 1, own_xid, seq, 'CREATED', type_name, session_user::text,
            session_user::text, tx_time, coalesce(p_valid_from, tx_time),
            coalesce(p_valid_to, 'infinity'), state, NULL::jsonb, data, NULL::uuid, NULL::bytea,
            NULL::bytea)::object_store.event AS e
        FROM timed
    ), checked AS MATERIALIZED (
        SELECT place, e, object_store.chained('', e) AS hash,
            object_store.check_period((e).valid_from, (e).valid_to)
        FROM bare
    ), events AS (
        INSERT INTO object_store.event
        SELECT (e).entity_id, 1, (e).xid, (e).seq, (e).event_type, (e).type_name, (e).owner,
            (e).updated_by, (e).tx_time, (e).valid_from, (e).valid_to, (e).state, NULL, (e).data,
            NULL, NULL, hash
        FROM checked
    ), heads AS (
        INSERT INTO object_store.head
        SELECT (e).entity_id, (e).owner, (e).type_name, 1, (e).xid, (e).tx_time, hash FROM checked
    ), segments AS (
        INSERT INTO object_store.seg
        SELECT (e).entity_id, (e).valid_from, (e).valid_to, 1, (e).event_type, (e).type_name,
            (e).owner, (e).updated_by, (e).tx_time, (e).state, (e).data, (e).valid_from,
            (e).valid_to
        FROM checked WHERE (e).valid_to > (e).tx_time
    ), ended AS (
        INSERT INTO object_store.past
        SELECT (e).entity_id, (e).valid_from, (e).valid_to, 1, (e).tx_time
        FROM checked WHERE (e).valid_to <= (e).tx_time
    )
    SELECT (e).entity_id, 1, (e).event_type, (e).owner, (e).updated_by, (e).tx_time,
        (e).valid_from, (e).valid_to, (e).state, false
    FROM checked ORDER BY place;
END $$;

-- The next version of entities, each given once, with all heads locked: plain statements for all.
CREATE FUNCTION object_store.append_updates(
    p_entity_ids uuid[], p_expected integer[], p_type_names text[], p_data jsonb[],
    p_states text[], p_valid_from timestamptz, p_valid_to timestamptz
) RETURNS SETOF object_store.receipt
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own_xid xid8;
    heads object_store.head[];
    h object_store.head;
    r record;
BEGIN
    -- Locked in one order, so that two batches cannot wait for each other.
    SELECT array_agg(l.head ORDER BY l.place) INTO heads FROM (
        SELECT hd AS head, given.place
        FROM unnest(p_entity_ids) WITH ORDINALITY given (entity_id, place)
        JOIN object_store.head hd ON hd.entity_id = given.entity_id
        WHERE hd.owner = session_user OR EXISTS (
            SELECT FROM object_store.acl a WHERE a.entity_id = hd.entity_id
                AND a.grantee = session_user AND a.can_write)
        ORDER BY given.entity_id FOR UPDATE OF hd) l;
    own_xid := object_store.log_xid(pg_current_xact_id());
    IF coalesce(cardinality(heads), 0) < cardinality(p_entity_ids) THEN
        -- One of them may not be written: this says why.
        PERFORM object_store.locked_head(entity_id) FROM unnest(p_entity_ids) entity_id;
        RAISE EXCEPTION 'an entity was shared while it was written'
            USING ERRCODE = 'OS005';
    END IF;
    FOR r IN
        SELECT l.entity_id, l.version, l.xid, expected
        FROM unnest(heads, p_expected)
            l (entity_id, owner, type_name, version, xid, tx_time, hash, expected)
        WHERE l.version IS DISTINCT FROM expected OR l.xid > own_xid LIMIT 1
    LOOP
        PERFORM object_store.refuse(r.entity_id, r.version, r.xid, r.expected);
    END LOOP;
    FOR r IN
        WITH timed AS MATERIALIZED (
            SELECT *, greatest(clock_timestamp(), l.before + interval '1 microsecond') AS tx_time,
                nextval('object_store.event_seq') AS seq
            FROM unnest(heads, p_type_names, p_data, p_states) WITH ORDINALITY
                l (entity_id, owner, old_type, version, xid, before, hash, type_name, data, state,
                    place)
        ), bare AS (
            SELECT place, hash AS previous, ROW(
                entity_id, version + 1, own_xid, seq,
                CASE WHEN p_valid_from < tx_time THEN 'CORRECTED' ELSE 'UPDATED' END, type_name,
                owner, session_user::text, tx_time, coalesce(p_valid_from, tx_time),
                coalesce(p_valid_to, 'infinity'), state, NULL::jsonb, data, NULL::uuid, NULL::bytea,
                NULL::bytea)::object_store.event AS e
            FROM timed
        ), checked AS MATERIALIZED (
            SELECT place, e, object_store.chained(previous, e) AS hash,
                CASE WHEN p_valid_from IS NOT NULL OR p_valid_to IS NOT NULL
                    THEN object_store.check_period((e).valid_from, (e).valid_to) END
            FROM bare
        ), events AS (
            INSERT INTO object_store.event
            SELECT (e).entity_id, (e).version, (e).xid, (e).seq, (e).event_type, (e).type_name,
                (e).owner, (e).updated_by, (e).tx_time, (e).valid_from, (e).valid_to, (e).state,
                NULL, (e).data, NULL, NULL, hash
            FROM checked
        ), new_heads AS (
            UPDATE object_store.head SET type_name = (c.e).type_name, version = (c.e).version,
                xid = (c.e).xid, tx_time = (c.e).tx_time, hash = c.hash
            FROM checked c WHERE head.entity_id = (c.e).entity_id
        ), replaced AS (
            -- As `place` does in the usual case.
            UPDATE object_store.seg SET
                valid_from = (c.e).valid_from, version = (c.e).version,
                event_type = (c.e).event_type, type_name = (c.e).type_name,
                updated_by = (c.e).updated_by, tx_time = (c.e).tx_time, state = (c.e).state,
                data = (c.e).data, event_from = (c.e).valid_from, event_to = (c.e).valid_to
            FROM checked c, object_store.seg old
            WHERE seg.entity_id = (c.e).entity_id AND seg.valid_to = (c.e).valid_to
                AND old.entity_id = (c.e).entity_id AND old.valid_to = (c.e).valid_to
                AND old.valid_from <= (c.e).valid_from
                AND (c.e).valid_from <= (c.e).tx_time AND (c.e).valid_to > (c.e).tx_time
            RETURNING old.entity_id, old.valid_from, (c.e).valid_from AS until, old.version,
                old.tx_time
        ), ended AS (
            INSERT INTO object_store.past
            SELECT entity_id, valid_from, until, version, tx_time FROM replaced
            WHERE valid_from < until
        )
        SELECT c.e, replaced.entity_id IS NOT NULL AS is_placed
        FROM checked c LEFT JOIN replaced ON replaced.entity_id = (c.e).entity_id
        ORDER BY c.place
    LOOP
        IF NOT r.is_placed THEN
            PERFORM object_store.place(r.e);
        END IF;
        RETURN NEXT ((r.e).entity_id, (r.e).version, (r.e).event_type, (r.e).owner,
            (r.e).updated_by, (r.e).tx_time, (r.e).valid_from, (r.e).valid_to, (r.e).state, false);
    END LOOP;
END $$;

-- Append an event to each of many entities, all or none; heads are locked in one order, so that
-- two batches cannot wait for each other.
CREATE FUNCTION object_store.append_many(
    p_kind text, p_entity_ids uuid[], p_expected integer[], p_type_names text[], p_data jsonb[],
    p_states text[], p_valid_from timestamptz, p_valid_to timestamptz, p_event_ids uuid[],
    p_any_payload boolean DEFAULT false
) RETURNS SETOF object_store.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    i integer;
    id uuid;
BEGIN
    IF p_kind = 'UPDATED' AND array_remove(p_event_ids, NULL) = '{}'
        AND cardinality(p_entity_ids) = (SELECT count(DISTINCT u) FROM unnest(p_entity_ids) u)
    THEN
        RETURN QUERY SELECT * FROM object_store.append_updates(
            p_entity_ids, p_expected, p_type_names, p_data, p_states, p_valid_from, p_valid_to);
        RETURN;
    END IF;
    IF p_kind <> 'CREATED' THEN
        FOR id IN SELECT DISTINCT given FROM unnest(p_entity_ids) given ORDER BY given LOOP
            PERFORM object_store.locked_head(id);
        END LOOP;
    END IF;
    FOR i IN 1 .. coalesce(cardinality(p_entity_ids), 0) LOOP
        RETURN NEXT object_store.append(
            p_kind, p_entity_ids[i], p_expected[i], p_type_names[i], p_data[i], p_states[i],
            p_valid_from, p_valid_to, NULL, p_event_ids[i], p_any_payload);
    END LOOP;
END $$;

-- The value of an entity that holds now, for a user who may see it. A function keeps its plan,
-- which would take longer to make than to run.
CREATE FUNCTION object_store.value_now(p_entity_id uuid, p_type_names text[])
RETURNS TABLE (
    entity_id uuid, version integer, event_type text, owner text, updated_by text,
    tx_time timestamptz, valid_from timestamptz, valid_to timestamptz, state text, data text,
    newest integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- Its statement never finds more than one row.
ROWS 1 AS $$
BEGIN
    RETURN QUERY
    SELECT s.entity_id, s.version, s.event_type, s.owner, s.updated_by, s.tx_time, s.event_from,
        s.event_to, s.state, s.data::text, h.version
    FROM object_store.seg s JOIN object_store.head h ON h.entity_id = s.entity_id
    WHERE s.entity_id = p_entity_id AND s.type_name = ANY(p_type_names)
        AND s.valid_to > statement_timestamp() AND s.valid_from <= statement_timestamp()
        AND (s.owner = session_user OR EXISTS (
            SELECT FROM object_store.acl a
            WHERE a.entity_id = p_entity_id AND a.grantee = session_user));
END $$;

-- The version of an entity that holds at a valid time by what was recorded up to a time; it may
-- be a tombstone. Null where there is none, or none that the user may see.
CREATE FUNCTION object_store.version_at(p_entity_id uuid, p_tx timestamptz, p_valid timestamptz)
RETURNS integer
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_version integer;
BEGIN
    PERFORM FROM object_store.head h
    WHERE h.entity_id = p_entity_id AND (h.owner = session_user OR EXISTS (
        SELECT FROM object_store.acl a
        WHERE a.entity_id = h.entity_id AND a.grantee = session_user));
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- What holds by the present timeline and was recorded by then held by then, too.
    SELECT version INTO found_version FROM (
        (SELECT * FROM (SELECT valid_from, version, tx_time FROM object_store.seg
            WHERE entity_id = p_entity_id AND valid_to > p_valid ORDER BY valid_to LIMIT 1) s
         WHERE valid_from <= p_valid)
        UNION ALL
        (SELECT * FROM (SELECT valid_from, version, tx_time FROM object_store.past
            WHERE entity_id = p_entity_id AND valid_to > p_valid ORDER BY valid_to LIMIT 1) p
         WHERE valid_from <= p_valid)
    ) present WHERE tx_time <= p_tx;
    IF FOUND THEN
        RETURN found_version;
    END IF;
    -- Within an entity, tx_time rises with each version.
    SELECT version INTO found_version FROM object_store.event
    WHERE entity_id = p_entity_id AND tx_time <= p_tx
        AND valid_from <= p_valid AND valid_to > p_valid
    ORDER BY tx_time DESC LIMIT 1;
    RETURN found_version;
END $$;

-- Give or take a right on an entity of one's own; did anything change?
CREATE FUNCTION object_store.share(p_entity_id uuid, p_user text, p_read boolean, p_write boolean)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before object_store.acl;
BEGIN
    -- Locked, so that two sessions that share it do not mix.
    PERFORM FROM object_store.head h
    WHERE h.entity_id = p_entity_id AND h.owner = session_user FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no entity % of your own, %', p_entity_id, session_user
            USING ERRCODE = 'OS002';
    END IF;
    IF p_user = session_user THEN
        RAISE EXCEPTION 'entity % is your own, %', p_entity_id, session_user
            USING ERRCODE = '22023';
    END IF;
    SELECT * INTO before FROM object_store.acl a
    WHERE a.entity_id = p_entity_id AND a.grantee = p_user;
    IF coalesce(p_read OR p_write, false) AND NOT EXISTS (
        SELECT FROM pg_auth_members m
        JOIN pg_roles member ON member.oid = m.member
        JOIN pg_roles users ON users.oid = m.roleid
        WHERE member.rolname = p_user AND users.rolname = 'object_store_user') THEN
        RAISE EXCEPTION 'no user % of the store', p_user USING ERRCODE = '22023';
    END IF;
    p_read := coalesce(p_read, before.can_read, false);
    p_write := coalesce(p_write, before.can_write, false);
    IF p_read = coalesce(before.can_read, false) AND p_write = coalesce(before.can_write, false)
    THEN
        RETURN false;
    END IF;
    IF p_read OR p_write THEN
        INSERT INTO object_store.acl VALUES (p_entity_id, p_user, session_user, p_read, p_write)
        ON CONFLICT (grantee, entity_id)
        DO UPDATE SET can_read = excluded.can_read, can_write = excluded.can_write;
    ELSE
        DELETE FROM object_store.acl a WHERE a.entity_id = p_entity_id AND a.grantee = p_user;
    END IF;
    RETURN true;
END $$;

CREATE AGGREGATE object_store.union_of (tstzmultirange) (
    SFUNC = pg_catalog.multirange_union, STYPE = tstzmultirange, INITCOND = '{}');

-- The pieces of present timelines that had ended, of entities that the user may see.
CREATE FUNCTION object_store.past_pieces(p_from uuid, p_to uuid) RETURNS SETOF object_store.past
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_has_role(session_user, 'object_store_owner', 'USAGE') THEN
        RETURN QUERY SELECT * FROM object_store.past p
        WHERE p.entity_id >= p_from AND p.entity_id <= p_to;
    ELSE
        RETURN QUERY SELECT p.* FROM object_store.past p
        JOIN object_store.head h ON h.entity_id = p.entity_id
        WHERE p.entity_id >= p_from AND p.entity_id <= p_to
            AND (h.owner = session_user OR EXISTS (
                SELECT FROM object_store.acl a
                WHERE a.entity_id = h.entity_id AND a.grantee = session_user));
    END IF;
END $$;

-- Everything that is wrong with the log, as far as the user sees it, entity by entity in a range.
CREATE FUNCTION object_store.breaks(p_from uuid, p_to uuid)
RETURNS TABLE (entity_id uuid, version integer, problem text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH chain AS (
        SELECT e.entity_id, e.version, e.owner, e.type_name, e.hash, e.tx_time, e.seq, e.xid,
            object_store.chained(coalesce(lag(e.hash) OVER w, ''), e.*::object_store.event) AS due,
            row_number() OVER w AS place,
            lead(e.version) OVER w IS NULL AS last,
            e.tx_time <= lag(e.tx_time) OVER w OR (e.xid, e.seq) <= (lag(e.xid) OVER w,
                lag(e.seq) OVER w) OR e.owner <> lag(e.owner) OVER w AS unordered
        FROM object_store.event e WHERE e.entity_id >= p_from AND e.entity_id <= p_to
        WINDOW w AS (PARTITION BY e.entity_id ORDER BY e.version)
    ), due AS (
        -- Where each version still holds: its period without those of all newer ones.
        SELECT e.entity_id, e.version, tstzmultirange(tstzrange(e.valid_from, e.valid_to))
            - coalesce(object_store.union_of(
                tstzmultirange(tstzrange(e.valid_from, e.valid_to))) OVER (
                    PARTITION BY e.entity_id ORDER BY e.version DESC
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), '{}') AS holds,
            e.event_type
        FROM object_store.event e WHERE e.entity_id >= p_from AND e.entity_id <= p_to
    ), piece AS (
        SELECT s.entity_id, s.version, s.valid_from, s.valid_to, s.tx_time FROM object_store.seg s
        WHERE s.entity_id >= p_from AND s.entity_id <= p_to
        UNION ALL
        SELECT p.entity_id, p.version, p.valid_from, p.valid_to, p.tx_time
        FROM object_store.past_pieces(p_from, p_to) p
    ), kept AS (
        SELECT p.entity_id, p.version, range_agg(tstzrange(p.valid_from, p.valid_to)) AS holds
        FROM piece p GROUP BY p.entity_id, p.version
    )
    SELECT f.entity_id, f.version, f.problem FROM (
    SELECT c.entity_id, c.version, 1 AS rank, CASE
        WHEN c.version <> c.place THEN 'the version before it is missing'
        WHEN c.hash <> c.due THEN 'it does not fit its hash'
        ELSE 'it is out of order' END AS problem
    FROM chain c WHERE c.version <> c.place OR c.hash <> c.due OR c.unordered
    UNION ALL
    SELECT c.entity_id, c.version, 1, 'it is not the newest one that was written'
    FROM chain c LEFT JOIN object_store.head h ON h.entity_id = c.entity_id
    WHERE c.last AND (h.version, h.hash, h.owner, h.type_name, h.xid, h.tx_time)
        IS DISTINCT FROM (c.version, c.hash, c.owner, c.type_name, c.xid, c.tx_time)
    UNION ALL
    SELECT h.entity_id, h.version, 1, 'all its events are missing'
    FROM object_store.head h
    WHERE h.entity_id >= p_from AND h.entity_id <= p_to AND NOT EXISTS (
        SELECT FROM object_store.event e WHERE e.entity_id = h.entity_id)
    UNION ALL
    SELECT s.entity_id, s.version, 2, 'what is read is not what was written'
    FROM object_store.seg s
    LEFT JOIN object_store.event e ON e.entity_id = s.entity_id AND e.version = s.version
    WHERE s.entity_id >= p_from AND s.entity_id <= p_to AND (e.data, e.state, e.event_type, e.type_name, e.owner, e.updated_by, e.tx_time,
            e.valid_from, e.valid_to)
        IS DISTINCT FROM
        (s.data, s.state, s.event_type, s.type_name, s.owner, s.updated_by, s.tx_time,
            s.event_from, s.event_to)
    UNION ALL
    SELECT p.entity_id, p.version, 2, 'what is read of the past is not what was written'
    FROM object_store.past_pieces(p_from, p_to) p
    LEFT JOIN object_store.head h ON h.entity_id = p.entity_id
    LEFT JOIN object_store.event e ON e.entity_id = p.entity_id AND e.version = p.version
    WHERE e.tx_time IS DISTINCT FROM p.tx_time OR h.tx_time < p.valid_to
    UNION ALL
    SELECT coalesce(d.entity_id, k.entity_id), coalesce(d.version, k.version), 3,
        'it is not read for the periods that it holds for'
    FROM due d FULL JOIN kept k ON k.entity_id = d.entity_id AND k.version = d.version
    WHERE coalesce(k.holds, '{}')
        IS DISTINCT FROM CASE WHEN d.event_type = 'DELETED' THEN '{}' ELSE d.holds END
    UNION ALL
    SELECT o.entity_id, o.version, 4, 'it is read beside another version' FROM (
        SELECT p.entity_id, p.version,
            p.valid_from < lag(p.valid_to) OVER (PARTITION BY p.entity_id ORDER BY p.valid_from)
                AS overlaps
        FROM piece p) o
    WHERE o.overlaps) f
    -- First what is wrong with the log itself: the rest may come of it.
    ORDER BY f.entity_id, f.rank, f.version
$$;

-- Who may do what. Tables are read under row-level security and never written directly.
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['event', 'head', 'seg'] LOOP
        EXECUTE format('ALTER TABLE object_store.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format($policy$
            CREATE POLICY visible ON object_store.%1$I FOR SELECT TO object_store_user USING (
                owner = current_user::text COLLATE "C" OR EXISTS (
                    SELECT FROM object_store.acl a WHERE a.entity_id = %1$I.entity_id
                        AND a.grantee = current_user::text COLLATE "C"))
            $policy$, t);
        EXECUTE format('GRANT SELECT ON object_store.%I TO object_store_user', t);
    END LOOP;
END $$;
ALTER TABLE object_store.acl ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_or_given ON object_store.acl FOR SELECT TO object_store_user USING (
    owner = current_user::text COLLATE "C" OR grantee = current_user::text COLLATE "C");
GRANT SELECT ON object_store.acl TO object_store_user;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA object_store FROM PUBLIC;
GRANT USAGE ON SCHEMA object_store TO object_store_user;
GRANT EXECUTE ON FUNCTION
    object_store.append, object_store.append_new, object_store.append_many,
    object_store.value_now, object_store.version_at, object_store.share, object_store.breaks,
    object_store.chained, object_store.union_of, object_store.past_pieces, object_store.log_xid,
    object_store.fence
TO object_store_user;
DO $$
DECLARE
    accessor regprocedure;
BEGIN
    FOR accessor IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'object_store'::regnamespace AND proname LIKE 'json\_%'
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO object_store_user', accessor);
    END LOOP;
END $$;
