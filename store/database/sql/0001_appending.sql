-- Writing: every change of a table goes through these functions, which run as the tables' owner.

-- The hash of an event: over the one before it in its entity, and all that it says.
CREATE FUNCTION object_store.chained(previous bytea, e object_store.event) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE AS $$
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
        -- There is nothing yet that `place` would have to cut.
        IF e.valid_to > e.tx_time THEN
            INSERT INTO object_store.seg VALUES (
                e.entity_id, e.valid_from, e.valid_to, e.version, e.event_type, e.type_name,
                e.owner, e.updated_by, e.tx_time, e.state, e.data, e.valid_from, e.valid_to);
        ELSE
            INSERT INTO object_store.past
            VALUES (e.entity_id, e.valid_from, e.valid_to, e.version, e.tx_time);
        END IF;
    ELSE
        UPDATE object_store.head SET
            type_name = e.type_name, version = e.version, xid = e.xid, tx_time = e.tx_time,
            hash = e.hash
        WHERE head.entity_id = e.entity_id;
        PERFORM object_store.place(e);
    END IF;
    RETURN (e.entity_id, e.version, e.event_type, e.owner, e.updated_by, e.tx_time, e.valid_from,
        e.valid_to, e.state, false);
END $$;
