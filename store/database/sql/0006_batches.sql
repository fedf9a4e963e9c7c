-- Version 6 of the schema: changes of many entities in one call, and leases that fence writers.

-- Who holds what, each name apart for each login: see decision 0190.
CREATE TABLE object_store.lease (
    owner    text COLLATE "C" NOT NULL,
    name     text COLLATE "C" NOT NULL,
    -- Rises with each holder: a writer with a lower one holds it no more.
    epoch    bigint NOT NULL,
    holder   text NOT NULL,
    expires  timestamptz NOT NULL,
    -- The number and the id of the newest batch that was written under it.
    turn     bigint NOT NULL,
    request  uuid,
    PRIMARY KEY (owner, name)
) WITH (fillfactor = 50);
ALTER TABLE object_store.lease ENABLE ROW LEVEL SECURITY;

-- Take a lease that nobody holds, or whose time is over. The row as it is now: it is taken where
-- its holder is the one that asked.
CREATE FUNCTION object_store.take_lease(p_name text, p_holder text, p_seconds double precision)
RETURNS object_store.lease
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    l object_store.lease;
BEGIN
    IF length(p_name) > 200 OR length(p_holder) > 200 OR p_name = '' OR p_holder = '' THEN
        RAISE EXCEPTION 'name and holder of a lease have 1 to 200 characters'
            USING ERRCODE = '22023';
    END IF;
    INSERT INTO object_store.lease AS t VALUES (session_user, p_name, 1, p_holder,
        clock_timestamp() + p_seconds * interval '1 second', 0, NULL)
    ON CONFLICT (owner, name) DO UPDATE SET
        epoch = t.epoch + 1, holder = excluded.holder,
        expires = clock_timestamp() + p_seconds * interval '1 second'
    WHERE t.expires <= clock_timestamp()
    RETURNING * INTO l;
    IF NOT FOUND THEN
        SELECT * INTO l FROM object_store.lease t WHERE t.owner = session_user AND t.name = p_name;
    END IF;
    RETURN l;
END $$;

-- Keep a lease for some time more; whether it is still held.
CREATE FUNCTION object_store.renew_lease(p_name text, p_epoch bigint, p_seconds double precision)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE object_store.lease l
    SET expires = greatest(l.expires, clock_timestamp() + p_seconds * interval '1 second')
    WHERE l.owner = session_user AND l.name = p_name AND l.epoch = p_epoch;
    RETURN FOUND;
END $$;

-- Give a lease back, so that the next holder need not wait; whether it was still held.
CREATE FUNCTION object_store.release_lease(p_name text, p_epoch bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE object_store.lease l SET expires = 'epoch'
    WHERE l.owner = session_user AND l.name = p_name AND l.epoch = p_epoch;
    RETURN FOUND;
END $$;

-- The user's own leases.
CREATE FUNCTION object_store.leases() RETURNS SETOF object_store.lease
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM object_store.lease l WHERE l.owner = session_user ORDER BY l.name
$$;

-- Move a lease on by one batch. False where this very batch was written before; OS010 where the
-- lease is held by another, or another batch was written.
CREATE FUNCTION object_store.take_turn(
    p_name text, p_epoch bigint, p_turn bigint, p_request uuid, p_seconds double precision
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    l object_store.lease;
BEGIN
    UPDATE object_store.lease t SET turn = p_turn, request = p_request,
        expires = greatest(t.expires, clock_timestamp() + p_seconds * interval '1 second')
    WHERE t.owner = session_user AND t.name = p_name AND t.epoch = p_epoch AND t.turn = p_turn - 1;
    IF FOUND THEN
        RETURN true;
    END IF;
    SELECT * INTO l FROM object_store.lease t WHERE t.owner = session_user AND t.name = p_name;
    IF l.epoch = p_epoch AND l.turn = p_turn AND l.request = p_request THEN
        RETURN false;
    END IF;
    RAISE EXCEPTION 'batch % under epoch % of lease % is refused: it is at epoch %, batch %, held '
        'by %', p_turn, p_epoch, p_name, l.epoch, l.turn, l.holder
        USING ERRCODE = 'OS010', DETAIL = coalesce(l.epoch, 0)::text;
END $$;

-- Refuse readers of new entities who are no users, or refuse what this user shares.
CREATE FUNCTION object_store.check_readers(p_readers text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    reader text;
BEGIN
    FOR reader IN SELECT DISTINCT r FROM unnest(p_readers) r ORDER BY 1 LOOP
        IF reader = session_user OR NOT EXISTS (
            SELECT FROM pg_auth_members m
            JOIN pg_roles member ON member.oid = m.member
            JOIN pg_roles users ON users.oid = m.roleid
            WHERE member.rolname = reader AND users.rolname = 'object_store_user') THEN
            RAISE EXCEPTION 'no other user of the store: %', reader USING ERRCODE = '22023';
        END IF;
        PERFORM object_store.lock_refusals(reader, false);
        PERFORM FROM object_store.refusal r
        WHERE r.grantee = reader AND r.owner = session_user AND r.entity_id IS NULL;
        IF FOUND THEN
            RAISE EXCEPTION '% refuses what % shares; ask % to accept it first', reader,
                session_user, reader USING ERRCODE = '42501';
        END IF;
    END LOOP;
END $$;

-- The hash of an event that follows another of the same statement, or the one that `first` is of.
CREATE FUNCTION object_store.next_hash(
    before bytea, first bytea, entity_id uuid, version integer, xid xid8, seq bigint,
    event_type text, type_name text, owner text, updated_by text, tx_time timestamptz,
    valid_from timestamptz, valid_to timestamptz, state text, event_meta jsonb, data jsonb,
    event_id uuid, request bytea
) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT object_store.event_hash(coalesce(before, first), entity_id, version, xid, seq,
        event_type, type_name, owner, updated_by, tx_time, valid_from, valid_to, state, event_meta,
        data, event_id, request)
$$;
CREATE AGGREGATE object_store.chain_hash(
    bytea, uuid, integer, xid8, bigint, text, text, text, text, timestamptz, timestamptz,
    timestamptz, text, jsonb, jsonb, uuid, bytea
) (SFUNC = object_store.next_hash, STYPE = bytea);

-- The usual batch: each period goes from now, or from some time since the value before it began,
-- for ever. Heads are locked, versions checked; `p_now` is the time of the first of each entity.
CREATE FUNCTION object_store.append_plain_batch(
    p_kinds text[], p_entity_ids uuid[], p_type_names text[], p_data jsonb[], p_states text[],
    p_valid_from timestamptz[], p_metas jsonb[], p_event_ids uuid[], p_readers text[],
    p_xid xid8, p_now timestamptz
) RETURNS SETOF object_store.receipt
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
-- The plan is kept while the tables grow: each row is found by an index.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    me CONSTANT text COLLATE "C" := session_user;
BEGIN
    RETURN QUERY
    WITH given AS MATERIALIZED (
        SELECT *, nextval('object_store.event_seq') AS seq
        FROM unnest(p_kinds, p_entity_ids, p_type_names, p_data, p_states, p_valid_from, p_metas,
            p_event_ids) WITH ORDINALITY
            g (kind, entity_id, type_name, data, state, valid_from, meta, event_id, place)
    ), numbered AS MATERIALIZED (
        SELECT g.*, coalesce(h.owner, me) AS owner, h.entity_id IS NULL AS is_new, h.version AS old,
            h.tx_time AS before, h.hash AS old_hash, h.is_shared, h.plain_from,
            row_number() OVER w AS turn, lead(g.place) OVER w IS NULL AS is_last,
            p_now + (row_number() OVER w - 1) * interval '1 microsecond' AS tx_time
        FROM given g
        LEFT JOIN LATERAL (
            SELECT * FROM object_store.acl a
            WHERE a.grantee = me AND a.entity_id = g.entity_id LIMIT 1) a ON true
        LEFT JOIN LATERAL (
            SELECT * FROM object_store.head h
            WHERE h.owner = CASE WHEN a.can_write THEN a.owner ELSE me END
                AND h.entity_id = g.entity_id LIMIT 1) h ON true
        WINDOW w AS (PARTITION BY g.entity_id ORDER BY g.place)
    ), dated AS MATERIALIZED (
        SELECT n.*, (coalesce(n.old, 0) + n.turn)::integer AS version,
            coalesce(n.valid_from, n.tx_time) AS since,
            CASE WHEN n.kind = 'UPDATED' AND n.valid_from < n.tx_time THEN 'CORRECTED'
                ELSE n.kind END AS event_type,
            CASE WHEN n.event_id IS NOT NULL THEN object_store.request_digest(n.kind, n.entity_id,
                n.type_name, n.data, n.state, n.valid_from, NULL, n.meta) END AS request
        FROM numbered n
    ), hashed AS MATERIALIZED (
        SELECT d.*, lead(d.since) OVER w AS until, object_store.chain_hash(
            coalesce(d.old_hash, ''), d.entity_id, d.version, p_xid, d.seq, d.event_type,
            d.type_name, d.owner, me, d.tx_time, d.since, 'infinity', d.state, d.meta, d.data,
            d.event_id, d.request) OVER w AS hash
        FROM dated d WINDOW w AS (PARTITION BY d.entity_id ORDER BY d.place)
    ), events AS (
        INSERT INTO object_store.event
        SELECT d.entity_id, d.version, p_xid, d.seq, d.event_type, d.type_name, d.owner, me,
            d.tx_time, d.since, 'infinity', d.state, d.meta, d.data, d.event_id, d.request, d.hash,
            2
        FROM hashed d
    ), new_heads AS (
        INSERT INTO object_store.head
        SELECT me, d.entity_id, d.type_name, d.version, p_xid, d.tx_time, d.hash,
            p_readers <> '{}', d.since
        FROM hashed d WHERE d.is_last AND d.is_new
    ), heads AS (
        UPDATE object_store.head SET type_name = d.type_name, version = d.version, xid = p_xid,
            tx_time = d.tx_time, hash = d.hash, plain_from = d.since
        FROM hashed d
        WHERE d.is_last AND NOT d.is_new AND head.owner = d.owner AND head.entity_id = d.entity_id
    ), new_values AS (
        INSERT INTO object_store.seg
        SELECT v.viewer, d.entity_id, d.since, 'infinity', d.version, d.event_type, d.type_name, me,
            me, d.tx_time, d.state, d.data, d.since, 'infinity', d.version
        FROM hashed d CROSS JOIN unnest(me || p_readers) v (viewer) WHERE d.is_last AND d.is_new
    ), seen_by AS (
        SELECT d.*, d.owner AS viewer FROM hashed d WHERE d.is_last AND NOT d.is_new
        UNION ALL
        SELECT d.*, a.grantee FROM hashed d JOIN object_store.acl a ON a.entity_id = d.entity_id
        WHERE d.is_last AND d.is_shared
    ), rows_now AS MATERIALIZED (
        -- By the key: the order is that of its last column.
        SELECT v.*, s.ctid AS row FROM seen_by v CROSS JOIN LATERAL (
            SELECT t.ctid FROM object_store.seg t
            WHERE t.viewer = v.viewer AND t.entity_id = v.entity_id AND t.valid_to >= 'infinity'
            ORDER BY t.valid_to LIMIT 1) s
    ), values_now AS (
        UPDATE object_store.seg SET valid_from = d.since, version = d.version,
            event_type = d.event_type, type_name = d.type_name, updated_by = me,
            tx_time = d.tx_time, state = d.state, data = d.data, event_from = d.since,
            newest = d.version
        FROM rows_now d WHERE seg.ctid = d.row
    ), new_rights AS (
        INSERT INTO object_store.acl
        SELECT r.reader, d.entity_id, me, true, false, p_xid
        FROM hashed d CROSS JOIN unnest(p_readers) r (reader) WHERE d.is_last AND d.is_new
    ), rights AS (
        UPDATE object_store.acl SET xid = p_xid
        FROM hashed d WHERE d.is_last AND d.is_shared AND acl.entity_id = d.entity_id
    ), ended AS (
        INSERT INTO object_store.past
        SELECT d.entity_id, d.plain_from, d.since, d.old, d.before FROM hashed d
        WHERE d.turn = 1 AND d.plain_from < d.since
        UNION ALL
        SELECT d.entity_id, d.since, d.until, d.version, d.tx_time FROM hashed d
        WHERE d.since < d.until
    )
    SELECT d.entity_id, d.version, d.event_type, d.owner, me, d.tx_time, d.since,
        'infinity'::timestamptz, d.state, false
    FROM hashed d ORDER BY d.place;
END $$;

-- Append events of any kinds to many entities, all or none, in the order of the arrays; an entity
-- may occur several times, each time with the version before. `p_readers` may read what is new.
-- OS011 names every place whose entity is at another version than expected. Under a lease, the
-- batch is written once, whatever is sent again, and by its holder alone.
CREATE FUNCTION object_store.append_batch(
    p_kinds text[], p_entity_ids uuid[], p_expected integer[], p_type_names text[],
    p_data jsonb[], p_states text[], p_valid_from timestamptz[], p_valid_to timestamptz[],
    p_metas jsonb[], p_event_ids uuid[], p_readers text[], p_lease text, p_epoch bigint,
    p_turn bigint, p_request uuid, p_seconds double precision, p_any_payload boolean DEFAULT false
) RETURNS SETOF object_store.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    me CONSTANT text COLLATE "C" := session_user;
    own_xid xid8;
    now timestamptz;
    i integer;
    facts record;
    reader text;
    receipt object_store.receipt;
BEGIN
    IF p_lease IS NOT NULL AND NOT object_store.take_turn(
        p_lease, p_epoch, p_turn, p_request, p_seconds) THEN
        RETURN QUERY
        SELECT e.entity_id, e.version, e.event_type, e.owner, e.updated_by, e.tx_time,
            e.valid_from, e.valid_to, e.state, true
        FROM unnest(p_entity_ids, p_expected) WITH ORDINALITY g (entity_id, expected, place)
        JOIN object_store.event e ON e.entity_id = g.entity_id
            AND e.version = coalesce(g.expected, 0) + 1 AND e.updated_by = me
        ORDER BY g.place;
        RETURN;
    END IF;
    IF NOT p_kinds <@ ARRAY['CREATED', 'UPDATED', 'DELETED', 'STATE_CHANGE'] THEN
        RAISE EXCEPTION 'no kinds of events: %', p_kinds USING ERRCODE = '22023';
    END IF;
    PERFORM object_store.check_readers(p_readers);
    PERFORM object_store.check_size(g.type_name, g.state, g.data, g.meta)
    FROM unnest(p_type_names, p_data, p_states, p_metas) g (type_name, data, state, meta)
    WHERE pg_column_size(g.data) > 800 OR g.meta IS NOT NULL OR octet_length(g.type_name) > 1000
        OR octet_length(g.state) > 1000;
    -- Locked in one order, so that two batches cannot wait for each other.
    PERFORM FROM (
        SELECT FROM (
            SELECT DISTINCT g.entity_id FROM unnest(p_entity_ids) g (entity_id)) given
        LEFT JOIN LATERAL (
            SELECT * FROM object_store.acl a
            WHERE a.grantee = me AND a.entity_id = given.entity_id LIMIT 1) a ON true
        JOIN object_store.head hd
            ON hd.owner = CASE WHEN a.can_write THEN a.owner ELSE me END
            AND hd.entity_id = given.entity_id
        ORDER BY given.entity_id FOR UPDATE OF hd) l;
    own_xid := object_store.log_xid(pg_current_xact_id());
    now := object_store.next_time();
    SELECT max(f.turn) AS turns, bool_and(f.is_plain) AS is_plain, max(f.before) AS before,
        bool_or(f.is_repeated) AS is_repeated, max(f.missing) AS missing,
        bool_or(f.is_later) AS is_later,
        jsonb_agg(jsonb_build_array(f.place - 1, f.entity_id, f.expected, f.actual))
            FILTER (WHERE f.expected <> f.actual) AS conflicts
    INTO facts FROM (
        SELECT g.place, g.entity_id, coalesce(g.expected, 0) AS expected,
            row_number() OVER w AS turn,
            coalesce(h.version, 0) + row_number() OVER w - 1 AS actual,
            h.tx_time AS before, h.xid > own_xid AS is_later,
            CASE WHEN h.entity_id IS NULL AND first_value(g.kind) OVER w <> 'CREATED'
                THEN g.entity_id::text END AS missing,
            g.event_id IS NOT NULL AND EXISTS (SELECT FROM object_store.event e
                WHERE e.updated_by = me AND e.event_id = g.event_id) AS is_repeated,
            g.kind <> 'DELETED' AND coalesce(g.valid_to = 'infinity', true)
                AND (g.kind = 'CREATED') = (h.entity_id IS NULL AND row_number() OVER w = 1)
                AND coalesce(g.valid_from >= '0001-01-02 UTC', true)
                AND coalesce(g.valid_from, now) <= now
                AND (h.entity_id IS NULL OR h.plain_from IS NOT NULL)
                AND coalesce(g.valid_from, now) >= coalesce(
                    CASE WHEN row_number() OVER w = 1 THEN h.plain_from
                        ELSE coalesce(lag(g.valid_from) OVER w, now) END, '-infinity') AS is_plain
        FROM unnest(p_kinds, p_entity_ids, p_expected, p_valid_from, p_valid_to, p_event_ids)
            WITH ORDINALITY g (kind, entity_id, expected, valid_from, valid_to, event_id, place)
        LEFT JOIN LATERAL (
            SELECT * FROM object_store.acl a
            WHERE a.grantee = me AND a.entity_id = g.entity_id LIMIT 1) a ON true
        LEFT JOIN LATERAL (
            SELECT * FROM object_store.head h
            WHERE h.owner = CASE WHEN a.can_write THEN a.owner ELSE me END
                AND h.entity_id = g.entity_id LIMIT 1) h ON true
        WINDOW w AS (PARTITION BY g.entity_id ORDER BY g.place)) f;
    IF facts.missing IS NOT NULL AND NOT facts.is_repeated THEN
        -- This says why.
        PERFORM object_store.locked_head(facts.missing::uuid);
    END IF;
    IF facts.conflicts IS NOT NULL AND NOT facts.is_repeated THEN
        RAISE EXCEPTION '% of % entities are at another version',
            jsonb_array_length(facts.conflicts), cardinality(p_entity_ids)
            USING ERRCODE = 'OS011', DETAIL = facts.conflicts::text;
    END IF;
    IF facts.is_later THEN
        PERFORM object_store.refuse(NULL, NULL, NULL, NULL);
    END IF;
    IF facts.is_plain AND NOT facts.is_repeated AND cardinality(p_kinds) = cardinality(p_data) THEN
        -- The clock is never behind what was written.
        PERFORM nextval('object_store.clock') FROM generate_series(2, facts.turns);
        RETURN QUERY SELECT * FROM object_store.append_plain_batch(
            p_kinds, p_entity_ids, p_type_names, p_data, p_states, p_valid_from, p_metas,
            p_event_ids, p_readers, own_xid,
            greatest(now, facts.before + interval '1 microsecond'));
        RETURN;
    END IF;
    FOR i IN 1 .. coalesce(cardinality(p_entity_ids), 0) LOOP
        receipt := object_store.append(
            p_kinds[i], p_entity_ids[i], p_expected[i], p_type_names[i], p_data[i], p_states[i],
            p_valid_from[i], p_valid_to[i], p_metas[i], p_event_ids[i], p_any_payload);
        IF p_kinds[i] = 'CREATED' AND NOT receipt.repeated THEN
            FOREACH reader IN ARRAY p_readers LOOP
                PERFORM object_store.share(receipt.entity_id, reader, true, NULL);
            END LOOP;
        ELSIF receipt.repeated THEN
            -- The client has made up another id for the entity this time.
            p_entity_ids := array_replace(p_entity_ids, p_entity_ids[i], receipt.entity_id);
        END IF;
        RETURN NEXT receipt;
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION
    object_store.take_lease, object_store.renew_lease, object_store.release_lease,
    object_store.leases, object_store.take_turn, object_store.check_readers,
    object_store.next_hash, object_store.chain_hash, object_store.append_plain_batch,
    object_store.append_batch
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    object_store.take_lease, object_store.renew_lease, object_store.release_lease,
    object_store.leases, object_store.append_batch
TO object_store_user;
