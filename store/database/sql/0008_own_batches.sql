-- Version 8 of the schema: a batch of the user's own entities, each given once, takes fewer steps.

-- As append_plain_batch, where each entity is given once, nobody else sees any of them, and there
-- are no ids of events: no windows, and the values are copied once. The settings are the caller's.
CREATE FUNCTION object_store.append_own_batch(
    p_kinds text[], p_entity_ids uuid[], p_type_names text[], p_data jsonb[], p_states text[],
    p_valid_from timestamptz[], p_metas jsonb[], p_places object_store.batch_place[], p_xid xid8,
    p_now timestamptz
) RETURNS SETOF object_store.receipt
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me CONSTANT text COLLATE "C" := session_user;
BEGIN
    RETURN QUERY
    WITH hashed AS MATERIALIZED (
        SELECT d.*, sha256(coalesce(d.old_hash, '') || object_store.event_content(
            d.entity_id, d.version, p_xid, d.seq, d.event_type, d.type_name, me, me, p_now,
            d.since, 'infinity', d.state, d.meta, d.data, NULL, NULL)) AS hash
        FROM (
            SELECT g.place, g.entity_id, g.type_name, g.state, g.is_new, g.owner, g.old, g.before,
                g.old_hash, g.plain_from, nextval('object_store.event_seq') AS seq,
                coalesce(g.old, 0) + 1 AS version, coalesce(g.valid_from, p_now) AS since,
                CASE WHEN g.kind = 'UPDATED' AND g.valid_from < p_now THEN 'CORRECTED'
                    ELSE g.kind END AS event_type, g.meta, g.data
            FROM unnest(p_kinds, p_entity_ids, p_type_names, p_data, p_states, p_valid_from,
                p_metas, p_places) WITH ORDINALITY
                g (kind, entity_id, type_name, data, state, valid_from, meta, turn, is_last, is_new,
                    owner, old, before, old_hash, is_shared, plain_from, place)) d
    ), events AS (
        INSERT INTO object_store.event
        SELECT d.entity_id, d.version, p_xid, d.seq, d.event_type, d.type_name, me, me, p_now,
            d.since, 'infinity', d.state, d.meta, d.data, NULL, NULL, d.hash, 2
        FROM hashed d
    ), new_heads AS (
        INSERT INTO object_store.head
        SELECT me, d.entity_id, d.type_name, 1, p_xid, p_now, d.hash, false, d.since
        FROM hashed d WHERE d.is_new
    ), heads AS (
        UPDATE object_store.head SET type_name = d.type_name, version = d.version, xid = p_xid,
            tx_time = p_now, hash = d.hash, plain_from = d.since
        FROM hashed d
        WHERE NOT d.is_new AND head.owner = d.owner AND head.entity_id = d.entity_id
    ), new_values AS (
        INSERT INTO object_store.seg
        SELECT me, d.entity_id, d.since, 'infinity', 1, d.event_type, d.type_name, me, me, p_now,
            d.state, d.data, d.since, 'infinity', 1
        FROM hashed d WHERE d.is_new
    ), values_now AS (
        -- By the key: the order is that of its last column.
        UPDATE object_store.seg SET valid_from = d.since, version = d.version,
            event_type = d.event_type, type_name = d.type_name, updated_by = me, tx_time = p_now,
            state = d.state, data = d.data, event_from = d.since, newest = d.version
        FROM hashed d CROSS JOIN LATERAL (
            SELECT t.ctid AS row FROM object_store.seg t
            WHERE t.viewer = d.owner AND t.entity_id = d.entity_id AND t.valid_to >= 'infinity'
            ORDER BY t.valid_to LIMIT 1) s
        WHERE NOT d.is_new AND seg.ctid = s.row
    ), ended AS (
        INSERT INTO object_store.past
        SELECT d.entity_id, d.plain_from, d.since, d.old, d.before
        FROM hashed d WHERE d.plain_from < d.since
    )
    SELECT d.entity_id, d.version, d.event_type, me, me, p_now, d.since, 'infinity'::timestamptz,
        d.state, false
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
    IF p_readers <> '{}' THEN
        PERFORM object_store.check_readers(p_readers);
    END IF;
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
        bool_or(f.is_later) AS is_later, bool_or(f.is_shared) AS is_shared,
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
        now := greatest(now, facts.before + interval '1 microsecond');
        IF facts.turns = 1 AND p_readers = '{}' AND p_event_ids IS NULL
            AND facts.is_shared IS NOT TRUE THEN
            RETURN QUERY SELECT * FROM object_store.append_own_batch(p_kinds, p_entity_ids,
                p_type_names, p_data, p_states, p_valid_from, p_metas, facts.places, own_xid, now);
        ELSE
            RETURN QUERY SELECT * FROM object_store.append_plain_batch(
                p_kinds, p_entity_ids, p_type_names, p_data, p_states, p_valid_from, p_metas,
                p_event_ids, p_readers, facts.places, own_xid, now);
        END IF;
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

REVOKE ALL ON FUNCTION object_store.append_own_batch FROM PUBLIC;
