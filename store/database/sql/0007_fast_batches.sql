-- Version 7 of the schema: batches that look each head up once less, and hash without a call of a
-- function in SQL for each event; updates of many by plans that do not change with the tables.

-- What the hash of an event is over, beside the hash of the event before it in its entity. Texts
-- count by their bytes in UTF-8, whatever the session's encoding is.
CREATE FUNCTION object_store.event_content(
    entity_id uuid, version integer, xid xid8, seq bigint, event_type text, type_name text,
    owner text, updated_by text, tx_time timestamptz, valid_from timestamptz,
    valid_to timestamptz, state text, event_meta jsonb, data jsonb, event_id uuid, request bytea
) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT record_send(ROW(
        entity_id, version, xid, seq, tx_time, valid_from, valid_to, event_id, request,
        convert_to(ARRAY[event_type, type_name, owner, updated_by, state]::text, 'UTF8'),
        convert_to(event_meta::text, 'UTF8'), convert_to(data::text, 'UTF8')))
$$;

CREATE OR REPLACE FUNCTION object_store.event_hash(
    previous bytea, entity_id uuid, version integer, xid xid8, seq bigint, event_type text,
    type_name text, owner text, updated_by text, tx_time timestamptz, valid_from timestamptz,
    valid_to timestamptz, state text, event_meta jsonb, data jsonb, event_id uuid, request bytea
) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256(previous || object_store.event_content(
        entity_id, version, xid, seq, event_type, type_name, owner, updated_by, tx_time,
        valid_from, valid_to, state, event_meta, data, event_id, request))
$$;

-- The hash of an event that follows another of the same statement, or the one that `first` is of.
-- In PL/pgSQL: a function in SQL is started anew for each row of an aggregate, which takes longer
-- than all the rest of the row.
CREATE FUNCTION object_store.chain_on(before bytea, first bytea, content bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN sha256(coalesce(before, first) || content);
END $$;
CREATE AGGREGATE object_store.chain(bytea, bytea) (SFUNC = object_store.chain_on, STYPE = bytea);

-- Where a change of a batch stands among those of its entity, and the entity's head before.
CREATE TYPE object_store.batch_place AS (
    turn        integer,
    is_last     boolean,
    is_new      boolean,
    owner       text COLLATE "C",
    old         integer,
    before      timestamptz,
    old_hash    bytea,
    is_shared   boolean,
    plain_from  timestamptz
);

DROP FUNCTION object_store.append_plain_batch;
DROP AGGREGATE object_store.chain_hash(
    bytea, uuid, integer, xid8, bigint, text, text, text, text, timestamptz, timestamptz,
    timestamptz, text, jsonb, jsonb, uuid, bytea);
DROP FUNCTION object_store.next_hash;

-- The usual batch: each period goes from now, or from some time since the value before it began,
-- for ever. Heads are locked, versions checked; `p_now` is the time of the first of each entity.
CREATE FUNCTION object_store.append_plain_batch(
    p_kinds text[], p_entity_ids uuid[], p_type_names text[], p_data jsonb[], p_states text[],
    p_valid_from timestamptz[], p_metas jsonb[], p_event_ids uuid[], p_readers text[],
    p_places object_store.batch_place[], p_xid xid8, p_now timestamptz
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
        SELECT g.*, nextval('object_store.event_seq') AS seq,
            p_now + (g.turn - 1) * interval '1 microsecond' AS tx_time
        FROM unnest(p_kinds, p_entity_ids, p_type_names, p_data, p_states, p_valid_from, p_metas,
            p_event_ids, p_places) WITH ORDINALITY
            g (kind, entity_id, type_name, data, state, valid_from, meta, event_id, turn, is_last,
                is_new, owner, old, before, old_hash, is_shared, plain_from, place)
    ), dated AS MATERIALIZED (
        SELECT g.*, coalesce(g.old, 0) + g.turn AS version,
            coalesce(g.valid_from, g.tx_time) AS since,
            CASE WHEN g.kind = 'UPDATED' AND g.valid_from < g.tx_time THEN 'CORRECTED'
                ELSE g.kind END AS event_type,
            CASE WHEN g.event_id IS NOT NULL THEN object_store.request_digest(g.kind, g.entity_id,
                g.type_name, g.data, g.state, g.valid_from, NULL, g.meta) END AS request
        FROM given g
    ), hashed AS MATERIALIZED (
        SELECT d.*, lead(d.since) OVER w AS until, object_store.chain(
            coalesce(d.old_hash, ''), object_store.event_content(d.entity_id, d.version, p_xid,
                d.seq, d.event_type, d.type_name, d.owner, me, d.tx_time, d.since, 'infinity',
                d.state, d.meta, d.data, d.event_id, d.request)) OVER w AS hash
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

CREATE OR REPLACE FUNCTION object_store.append_batch(
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
            SELECT DISTINCT g.entity_id FROM unnest(p_entity_ids, p_kinds) g (entity_id, kind)
            WHERE g.kind <> 'CREATED') given
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
            FILTER (WHERE f.expected <> f.actual) AS conflicts,
        array_agg(ROW(f.turn, f.is_last, f.is_new, f.owner, f.version, f.before, f.hash,
            f.is_shared, f.plain_from)::object_store.batch_place ORDER BY f.place) AS places
    INTO facts FROM (
        SELECT g.place, g.entity_id, g.turn, g.is_last, h.entity_id IS NULL AS is_new,
            coalesce(h.owner, me) AS owner, h.version, h.tx_time AS before, h.hash, h.is_shared,
            h.plain_from, h.xid > own_xid AS is_later,
            coalesce(g.expected, 0) AS expected, coalesce(h.version, 0) + g.turn - 1 AS actual,
            CASE WHEN h.entity_id IS NULL AND NOT g.begins THEN g.entity_id::text END AS missing,
            g.event_id IS NOT NULL AND EXISTS (SELECT FROM object_store.event e
                WHERE e.updated_by = me AND e.event_id = g.event_id) AS is_repeated,
            g.kind <> 'DELETED' AND coalesce(g.valid_to = 'infinity', true)
                AND (g.kind = 'CREATED') = (h.entity_id IS NULL AND g.turn = 1)
                AND coalesce(g.valid_from >= '0001-01-02 UTC', true)
                AND coalesce(g.valid_from, now) <= now
                AND (h.entity_id IS NULL OR h.plain_from IS NOT NULL)
                AND coalesce(g.valid_from, now) >= coalesce(
                    CASE WHEN g.turn = 1 THEN h.plain_from
                        ELSE coalesce(g.valid_before, now) END, '-infinity') AS is_plain
        FROM (
            SELECT u.*, (row_number() OVER w)::integer AS turn,
                lead(u.place) OVER w IS NULL AS is_last,
                first_value(u.kind) OVER w = 'CREATED' AS begins,
                lag(u.valid_from) OVER w AS valid_before
            FROM unnest(p_kinds, p_entity_ids, p_expected, p_valid_from, p_valid_to, p_event_ids)
                WITH ORDINALITY u (kind, entity_id, expected, valid_from, valid_to, event_id, place)
            WINDOW w AS (PARTITION BY u.entity_id ORDER BY u.place)) g
        -- What begins here has no head yet; should it have one, its first event is refused.
        LEFT JOIN LATERAL (
            SELECT * FROM object_store.acl a
            WHERE NOT g.begins AND a.grantee = me AND a.entity_id = g.entity_id LIMIT 1) a ON true
        LEFT JOIN LATERAL (
            SELECT * FROM object_store.head h
            WHERE NOT g.begins AND h.owner = CASE WHEN a.can_write THEN a.owner ELSE me END
                AND h.entity_id = g.entity_id LIMIT 1) h ON true) f;
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
            p_event_ids, p_readers, facts.places, own_xid,
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

-- The next version of entities, each given once, for one period: what `update_many` asks for. With
-- `p_names_all`, OS011 names every place whose entity is at another version than expected; without
-- it OS001 names the first, as older clients know it.
DROP FUNCTION object_store.append_updates;
CREATE FUNCTION object_store.append_updates(
    p_entity_ids uuid[], p_expected integer[], p_type_names text[], p_data jsonb[],
    p_states text[], p_valid_from timestamptz, p_valid_to timestamptz,
    p_names_all boolean DEFAULT false
) RETURNS SETOF object_store.receipt
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
-- The plan is kept while the tables grow: each row is found by an index.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    me CONSTANT text COLLATE "C" := session_user;
    own_xid xid8;
    now timestamptz;
    since timestamptz;
    until timestamptz := coalesce(p_valid_to, 'infinity');
    v_kind text := 'UPDATED';
    heads object_store.head[];
    facts record;
    r record;
BEGIN
    -- Locked in one order, so that two batches cannot wait for each other.
    SELECT array_agg(l.head ORDER BY l.place) INTO heads FROM (
        SELECT hd AS head, given.place
        FROM unnest(p_entity_ids) WITH ORDINALITY given (entity_id, place)
        LEFT JOIN LATERAL (
            SELECT * FROM object_store.acl a
            WHERE a.grantee = me AND a.entity_id = given.entity_id LIMIT 1) a ON true
        JOIN object_store.head hd
            ON hd.owner = CASE WHEN a.can_write THEN a.owner ELSE me END
            AND hd.entity_id = given.entity_id
        ORDER BY given.entity_id FOR UPDATE OF hd) l;
    IF coalesce(cardinality(heads), 0) < cardinality(p_entity_ids) OR EXISTS (
        SELECT FROM unnest(heads) h WHERE h.owner <> me AND NOT EXISTS (
            SELECT FROM object_store.acl a
            WHERE a.grantee = me AND a.entity_id = h.entity_id AND a.can_write))
    THEN
        -- One of them may not be written: this says why.
        PERFORM object_store.locked_head(entity_id) FROM unnest(p_entity_ids) entity_id;
        RAISE EXCEPTION 'an entity was shared while it was written'
            USING ERRCODE = 'OS005';
    END IF;
    PERFORM object_store.check_sizes(p_type_names, p_data, p_states);
    own_xid := object_store.log_xid(pg_current_xact_id());
    SELECT max(l.tx_time) AS before, bool_or(l.xid > own_xid) AS is_later,
        min(l.place) FILTER (WHERE l.version IS DISTINCT FROM l.expected OR l.xid > own_xid)
            AS refused,
        jsonb_agg(jsonb_build_array(l.place - 1, l.entity_id, coalesce(l.expected, 0), l.version))
            FILTER (WHERE l.version IS DISTINCT FROM l.expected) AS conflicts
    INTO facts
    FROM unnest(heads, p_expected) WITH ORDINALITY l (owner, entity_id, type_name, version, xid,
        tx_time, hash, is_shared, plain_from, expected, place);
    IF p_names_all AND facts.conflicts IS NOT NULL THEN
        RAISE EXCEPTION '% of % entities are at another version',
            jsonb_array_length(facts.conflicts), cardinality(p_entity_ids)
            USING ERRCODE = 'OS011', DETAIL = facts.conflicts::text;
    ELSIF facts.refused IS NOT NULL THEN
        PERFORM object_store.refuse(heads[facts.refused].entity_id, heads[facts.refused].version,
            heads[facts.refused].xid, p_expected[facts.refused]);
    END IF;
    -- The clock is never behind what was written.
    now := greatest(object_store.next_time(), facts.before + interval '1 microsecond');
    since := coalesce(p_valid_from, now);
    PERFORM object_store.check_period(since, until);
    IF since < now THEN
        v_kind := 'CORRECTED';
    END IF;
    FOR r IN
        WITH numbered AS MATERIALIZED (
            SELECT l.*, nextval('object_store.event_seq') AS seq,
                coalesce(until = 'infinity' AND since >= l.plain_from AND since <= now, false)
                    AS is_plain
            FROM unnest(heads, p_type_names, p_data, p_states) WITH ORDINALITY
                l (owner, entity_id, old_type, version, xid, before, old_hash, is_shared,
                    plain_from, type_name, data, state, place)
        ), hashed AS MATERIALIZED (
            SELECT n.*, object_store.event_hash(n.old_hash, n.entity_id, n.version + 1, own_xid,
                n.seq, v_kind, n.type_name, n.owner, me, now, since, until, n.state, NULL, n.data,
                NULL, NULL) AS hash
            FROM numbered n
        ), events AS (
            INSERT INTO object_store.event
            SELECT n.entity_id, n.version + 1, own_xid, n.seq, v_kind, n.type_name, n.owner, me,
                now, since, until, n.state, NULL, n.data, NULL, NULL, n.hash, 2
            FROM hashed n
        ), new_heads AS (
            UPDATE object_store.head SET type_name = n.type_name, version = n.version + 1,
                xid = own_xid, tx_time = now, hash = n.hash, plain_from = since
            FROM hashed n
            WHERE n.is_plain AND head.owner = n.owner AND head.entity_id = n.entity_id
        ), seen_by AS (
            SELECT n.*, n.owner AS viewer FROM hashed n WHERE n.is_plain
            UNION ALL
            SELECT n.*, a.grantee FROM hashed n JOIN object_store.acl a ON a.entity_id = n.entity_id
            WHERE n.is_plain AND n.is_shared
        ), rows_now AS MATERIALIZED (
            -- By the key: the order is that of its last column.
            SELECT v.*, s.ctid AS row FROM seen_by v CROSS JOIN LATERAL (
                SELECT t.ctid FROM object_store.seg t
                WHERE t.viewer = v.viewer AND t.entity_id = v.entity_id
                    AND t.valid_to >= 'infinity'
                ORDER BY t.valid_to LIMIT 1) s
        ), new_values AS (
            UPDATE object_store.seg SET valid_from = since, version = n.version + 1,
                event_type = v_kind, type_name = n.type_name, updated_by = me, tx_time = now,
                state = n.state, data = n.data, event_from = since, newest = n.version + 1
            FROM rows_now n WHERE seg.ctid = n.row
        ), rights AS (
            UPDATE object_store.acl SET xid = own_xid
            FROM hashed n WHERE n.is_plain AND n.is_shared AND acl.entity_id = n.entity_id
        ), ended AS (
            INSERT INTO object_store.past
            SELECT n.entity_id, n.plain_from, since, n.version, n.before FROM hashed n
            WHERE n.is_plain AND n.plain_from < since
        )
        SELECT n.place, n.entity_id, n.version, n.seq, n.type_name, n.owner, n.state, n.is_plain,
            n.hash, CASE WHEN NOT n.is_plain THEN n.data END AS data
        FROM hashed n ORDER BY n.place
    LOOP
        IF NOT r.is_plain THEN
            PERFORM object_store.place(heads[r.place], ROW(
                r.entity_id, r.version + 1, own_xid, r.seq, v_kind, r.type_name, r.owner, me, now,
                since, until, r.state, NULL, r.data, NULL, NULL, r.hash, 2)::object_store.event);
        END IF;
        RETURN NEXT (r.entity_id, r.version + 1, v_kind, r.owner, me, now, since, until, r.state,
            false);
    END LOOP;
END $$;

-- The next version of entities, each given once, all or none.
CREATE FUNCTION object_store.update_many(
    p_entity_ids uuid[], p_expected integer[], p_type_names text[], p_data jsonb[],
    p_states text[], p_valid_from timestamptz, p_valid_to timestamptz
) RETURNS SETOF object_store.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF cardinality(p_entity_ids) <> (SELECT count(DISTINCT u) FROM unnest(p_entity_ids) u) THEN
        RAISE EXCEPTION 'an entity is given twice' USING ERRCODE = '22023';
    END IF;
    RETURN QUERY SELECT * FROM object_store.append_updates(p_entity_ids, p_expected, p_type_names,
        p_data, p_states, p_valid_from, p_valid_to, true);
END $$;

REVOKE ALL ON FUNCTION
    object_store.event_content, object_store.chain_on, object_store.chain,
    object_store.append_plain_batch, object_store.append_updates, object_store.update_many
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION object_store.update_many TO object_store_user;
