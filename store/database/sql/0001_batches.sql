-- Writing many: the same rules as in appending.sql, for a batch at once.

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
            CASE WHEN p_valid_from IS NOT NULL OR p_valid_to IS NOT NULL
                THEN object_store.check_period((e).valid_from, (e).valid_to) END
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
