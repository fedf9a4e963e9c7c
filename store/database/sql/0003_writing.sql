-- Writing: every change of a table goes through these functions, which run as the tables' owner.

-- The hash of an event: over the one before it in its entity, and all that it says. Texts count by
-- their bytes in UTF-8, whatever the session's encoding is.
CREATE FUNCTION object_store.event_hash(
    previous bytea, entity_id uuid, version integer, xid xid8, seq bigint, event_type text,
    type_name text, owner text, updated_by text, tx_time timestamptz, valid_from timestamptz,
    valid_to timestamptz, state text, event_meta jsonb, data jsonb, event_id uuid, request bytea
) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256(previous || record_send(ROW(
        entity_id, version, xid, seq, tx_time, valid_from, valid_to, event_id, request,
        convert_to(ARRAY[event_type, type_name, owner, updated_by, state]::text, 'UTF8'),
        convert_to(event_meta::text, 'UTF8'), convert_to(data::text, 'UTF8'))))
$$;

-- The time of a write: by the server's clock, or by the store's where that one is behind. Nothing
-- that was written, or known as of a time, is later.
CREATE FUNCTION object_store.next_time() RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    here bigint := extract(epoch FROM clock_timestamp()) * 1000000;
BEGIN
    RETURN 'epoch'::timestamptz + interval '1 microsecond' * CASE
        WHEN here > pg_sequence_last_value('object_store.clock')
        THEN setval('object_store.clock', here) ELSE nextval('object_store.clock') END;
END $$;

-- Refuse what the store could keep and its readers could not bear.
CREATE FUNCTION object_store.check_size(
    p_type_name text, p_state text, p_data jsonb, p_meta jsonb
) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    what text;
    content jsonb;
    bytes integer;
    allowed integer;
BEGIN
    IF length(p_type_name) > 1000 OR length(p_state) > 1000 THEN
        RAISE EXCEPTION 'a % of % characters; at most 1000 are allowed',
            CASE WHEN length(p_type_name) > 1000 THEN 'type name' ELSE 'state' END,
            greatest(length(p_type_name), length(p_state)) USING ERRCODE = 'OS008';
    END IF;
    FOR what, content, allowed IN
        SELECT * FROM (VALUES ('data', p_data, 16777216), ('event_meta', p_meta, 1048576)) v
    LOOP
        bytes := octet_length(content::text);
        IF bytes > allowed THEN
            RAISE EXCEPTION '% of % bytes as JSON; at most % are allowed: keep large content '
                'elsewhere and write a reference to it', what, bytes, allowed
                USING ERRCODE = 'OS008';
        END IF;
        IF jsonb_path_exists(content, '$.**{101 to last}') THEN
            RAISE EXCEPTION '% is nested more than 100 levels deep; at most 100 are allowed', what
                USING ERRCODE = 'OS008';
        END IF;
    END LOOP;
END $$;

-- Lock the head of an entity that the user may write, and return it.
CREATE FUNCTION object_store.locked_head(p_entity_id uuid) RETURNS object_store.head
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    h object_store.head;
    a object_store.acl;
BEGIN
    SELECT * INTO h FROM object_store.head
    WHERE head.owner = session_user AND head.entity_id = p_entity_id FOR UPDATE;
    IF FOUND THEN
        RETURN h;
    END IF;
    SELECT * INTO a FROM object_store.acl
    WHERE acl.grantee = session_user AND acl.entity_id = p_entity_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no entity % that % may see', p_entity_id, session_user
            USING ERRCODE = 'OS002';
    ELSIF NOT a.can_write THEN
        RAISE EXCEPTION 'entity % is shared with % for reading only', p_entity_id, session_user
            USING ERRCODE = '42501';
    END IF;
    SELECT * INTO h FROM object_store.head
    WHERE head.owner = a.owner AND head.entity_id = p_entity_id FOR UPDATE;
    -- The right may have been taken back while another write was waited for.
    PERFORM FROM object_store.acl
    WHERE acl.grantee = session_user AND acl.entity_id = p_entity_id AND acl.can_write;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no entity % that % may write', p_entity_id, session_user
            USING ERRCODE = 'OS002';
    END IF;
    RETURN h;
END $$;

-- Who has a copy of the present of an entity, whose head is locked.
CREATE FUNCTION object_store.viewers(h object_store.head) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT h.is_shared THEN
        RETURN ARRAY[h.owner];
    END IF;
    RETURN h.owner || coalesce((
        SELECT array_agg(a.grantee) FROM object_store.acl a WHERE a.entity_id = h.entity_id), '{}');
END $$;

-- Cut the period of a new event out of the present timeline, and put the event there, for all who
-- see it; then bring its head up to date. `h` is the head as it was before.
CREATE FUNCTION object_store.place(h object_store.head, e object_store.event) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    who text[] := object_store.viewers(h);
    s object_store.seg;
    piece object_store.seg;
    pieces object_store.seg[] := '{}';
    since timestamptz;
BEGIN
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
        WHERE seg.viewer = ANY(who) AND seg.entity_id = e.entity_id
            AND seg.valid_to > e.valid_from AND seg.valid_from < e.valid_to
        RETURNING seg.*
    LOOP
        -- All have the same.
        CONTINUE WHEN s.viewer <> h.owner;
        s.newest := e.version;
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
            h.owner, e.entity_id, e.valid_from, e.valid_to, e.version, e.event_type, e.type_name,
            e.owner, e.updated_by, e.tx_time, e.state, e.data, e.valid_from, e.valid_to,
            e.version)::object_store.seg;
    END IF;
    UPDATE object_store.seg SET newest = e.version
    WHERE seg.viewer = ANY(who) AND seg.entity_id = e.entity_id;
    INSERT INTO object_store.past
    SELECT p.entity_id, p.valid_from, p.valid_to, p.version, p.tx_time
    FROM unnest(pieces) p WHERE p.valid_to <= e.tx_time;
    INSERT INTO object_store.seg
    SELECT v.viewer, p.entity_id, p.valid_from, p.valid_to, p.version, p.event_type, p.type_name,
        p.owner, p.updated_by, p.tx_time, p.state, p.data, p.event_from, p.event_to, p.newest
    FROM unnest(pieces) p CROSS JOIN unnest(who) v (viewer) WHERE p.valid_to > e.tx_time;

    SELECT min(t.valid_from) INTO since FROM object_store.seg t
    WHERE t.viewer = h.owner AND t.entity_id = e.entity_id
    HAVING count(*) = 1 AND min(t.version) = e.version AND min(t.valid_to) = 'infinity';
    UPDATE object_store.head SET
        type_name = e.type_name, version = e.version, xid = e.xid, tx_time = e.tx_time,
        hash = e.hash, plain_from = since
    WHERE head.owner = h.owner AND head.entity_id = e.entity_id;
    IF h.is_shared THEN
        UPDATE object_store.acl SET xid = e.xid WHERE acl.entity_id = e.entity_id;
    END IF;
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

-- What the write under an event id answered, if there was one; an error if it asked for something
-- else. With `p_any_payload` data, state and period may differ: a step of a workflow that is run
-- again sees other clocks.
CREATE FUNCTION object_store.answered(
    p_event_id uuid, p_request bytea, p_any_payload boolean, p_kind text, p_type_name text,
    p_entity_id uuid
) RETURNS object_store.receipt
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    first object_store.event;
    is_new boolean := p_kind = 'CREATED';
BEGIN
    SELECT * INTO first FROM object_store.event
    WHERE event.updated_by = session_user AND event.event_id = p_event_id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF (CASE WHEN p_any_payload
        THEN replace(first.event_type, 'CORRECTED', 'UPDATED') <> p_kind
            OR first.type_name <> p_type_name
            OR (first.entity_id <> p_entity_id AND NOT is_new)
        ELSE first.request <> p_request END)
    THEN
        RAISE EXCEPTION 'event_id % was used for another write, version % of entity %',
            p_event_id, first.version, first.entity_id USING ERRCODE = 'OS004';
    END IF;
    RETURN (first.entity_id, first.version, first.event_type, first.owner, first.updated_by,
        first.tx_time, first.valid_from, first.valid_to, first.state, true);
END $$;

-- A digest of what a write asks for. The id of a new entity is made up by the client for each
-- attempt, and does not count.
CREATE FUNCTION object_store.request_digest(
    p_kind text, p_entity_id uuid, p_type_name text, p_data jsonb, p_state text,
    p_valid_from timestamptz, p_valid_to timestamptz, p_meta jsonb
) RETURNS bytea
-- The form that it always had: what was written before a client was updated is found again.
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET client_encoding = 'UTF8' AS $$
    SELECT sha256(record_send(ROW(
        p_kind, CASE WHEN p_kind <> 'CREATED' THEN p_entity_id END, p_type_name, p_data, p_state,
        p_valid_from, p_valid_to, p_meta)))
$$;

-- Append one event. `p_kind` is CREATED, UPDATED, DELETED or STATE_CHANGE; `p_expected` is the
-- newest version that the client knows of. Missing bounds mean from now on, for ever. With an
-- event id that was used, the first answer is given again: see `answered`.
CREATE FUNCTION object_store.append(
    p_kind text, p_entity_id uuid, p_expected integer, p_type_name text, p_data jsonb,
    p_state text, p_valid_from timestamptz, p_valid_to timestamptz, p_meta jsonb, p_event_id uuid,
    p_any_payload boolean DEFAULT false
) RETURNS object_store.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    me CONSTANT text COLLATE "C" := session_user;
    h object_store.head;
    v_xid xid8;
    v_seq bigint;
    here bigint;
    now timestamptz;
    since timestamptz;
    until timestamptz := coalesce(p_valid_to, 'infinity');
    kind text := p_kind;
    content jsonb := p_data;
    v_version integer := 1;
    v_owner text COLLATE "C" := session_user;
    v_request bytea;
    v_hash bytea;
    first object_store.receipt;
    who text[];
BEGIN
    IF p_kind IS NULL OR p_kind NOT IN ('CREATED', 'UPDATED', 'DELETED', 'STATE_CHANGE') THEN
        RAISE EXCEPTION 'no kind of event: %', p_kind USING ERRCODE = '22023';
    END IF;
    IF p_kind <> 'CREATED' THEN
        h := object_store.locked_head(p_entity_id);
        v_owner := h.owner;
        v_version := h.version + 1;
    END IF;
    -- Only then can a limit be passed: each level of depth takes eight bytes.
    IF pg_column_size(p_data) > 800 OR p_meta IS NOT NULL
        OR octet_length(p_type_name) > 1000 OR octet_length(p_state) > 1000 THEN
        PERFORM object_store.check_size(p_type_name, p_state, p_data, p_meta);
    END IF;
    IF p_event_id IS NOT NULL THEN
        v_request := object_store.request_digest(p_kind, p_entity_id, p_type_name, p_data, p_state,
            p_valid_from, p_valid_to, p_meta);
        first := object_store.answered(
            p_event_id, v_request, p_any_payload, p_kind, p_type_name, p_entity_id);
        IF first.entity_id IS NOT NULL THEN
            RETURN first;
        END IF;
    END IF;
    -- First the number, then the clock: see decision 0041 on reading the past.
    v_xid := object_store.log_xid(pg_current_xact_id());
    IF p_kind <> 'CREATED' AND (h.version IS DISTINCT FROM p_expected OR h.xid > v_xid) THEN
        PERFORM object_store.refuse(p_entity_id, h.version, h.xid, p_expected);
    END IF;
    -- As `next_time` does.
    here := extract(epoch FROM clock_timestamp()) * 1000000;
    now := greatest(h.tx_time + interval '1 microsecond',
        'epoch'::timestamptz + interval '1 microsecond' * CASE
            WHEN here > pg_sequence_last_value('object_store.clock')
            THEN setval('object_store.clock', here) ELSE nextval('object_store.clock') END);
    v_seq := nextval('object_store.event_seq');
    since := coalesce(p_valid_from, now);
    IF p_valid_from IS NOT NULL OR p_valid_to IS NOT NULL THEN
        PERFORM object_store.check_period(since, until);
        IF p_kind = 'UPDATED' AND since < now THEN
            kind := 'CORRECTED';
        END IF;
    END IF;
    IF p_kind = 'DELETED' THEN
        SELECT event.data INTO content FROM object_store.event
        WHERE event.entity_id = p_entity_id AND event.version = h.version;
    END IF;
    v_hash := object_store.event_hash(coalesce(h.hash, ''), p_entity_id, v_version, v_xid, v_seq,
        kind, p_type_name, v_owner, me, now, since, until, p_state, p_meta, content, p_event_id,
        v_request);

    IF p_kind = 'CREATED' THEN
        IF until > now THEN
            WITH new_event AS (
                INSERT INTO object_store.event VALUES (
                    p_entity_id, 1, v_xid, v_seq, kind, p_type_name, me, me, now, since, until,
                    p_state, p_meta, content, p_event_id, v_request, v_hash, 2)
            ), new_head AS (
                INSERT INTO object_store.head VALUES (
                    me, p_entity_id, p_type_name, 1, v_xid, now, v_hash, false,
                    CASE WHEN until = 'infinity' THEN since END)
            )
            INSERT INTO object_store.seg VALUES (
                me, p_entity_id, since, until, 1, kind, p_type_name, me, me, now, p_state, content,
                since, until, 1);
        ELSE
            INSERT INTO object_store.event VALUES (
                p_entity_id, 1, v_xid, v_seq, kind, p_type_name, me, me, now, since, until,
                p_state, p_meta, content, p_event_id, v_request, v_hash, 2);
            INSERT INTO object_store.head VALUES (
                me, p_entity_id, p_type_name, 1, v_xid, now, v_hash, false, NULL);
            INSERT INTO object_store.past VALUES (p_entity_id, since, until, 1, now);
        END IF;
    ELSIF p_kind <> 'DELETED' AND until = 'infinity'
        AND since >= h.plain_from AND since <= now THEN
        -- The usual case: it takes the place of the only value that there is.
        who := object_store.viewers(h);
        WITH new_event AS (
            INSERT INTO object_store.event VALUES (
                p_entity_id, v_version, v_xid, v_seq, kind, p_type_name, v_owner, me, now, since,
                until, p_state, p_meta, content, p_event_id, v_request, v_hash, 2)
        ), new_head AS (
            UPDATE object_store.head SET type_name = p_type_name, version = v_version,
                xid = v_xid, tx_time = now, hash = v_hash, plain_from = since
            WHERE head.owner = v_owner AND head.entity_id = p_entity_id
        ), new_value AS (
            UPDATE object_store.seg SET valid_from = since, version = v_version, event_type = kind,
                type_name = p_type_name, updated_by = me, tx_time = now, state = p_state,
                data = content, event_from = since, newest = v_version
            WHERE seg.viewer = ANY(who) AND seg.entity_id = p_entity_id
                AND seg.valid_to = 'infinity'
        )
        INSERT INTO object_store.past
        SELECT p_entity_id, h.plain_from, since, h.version, h.tx_time WHERE h.plain_from < since;
        IF h.is_shared THEN
            UPDATE object_store.acl SET xid = v_xid WHERE acl.entity_id = p_entity_id;
        END IF;
    ELSE
        DECLARE e object_store.event;
        BEGIN
            INSERT INTO object_store.event VALUES (
                p_entity_id, v_version, v_xid, v_seq, kind, p_type_name, v_owner, me, now, since,
                until, p_state, p_meta, content, p_event_id, v_request, v_hash, 2)
            RETURNING * INTO e;
            PERFORM object_store.place(h, e);
        END;
    END IF;
    RETURN (p_entity_id, v_version, kind, v_owner, me, now, since, until, p_state, false);
END $$;

-- Append new entities, all or none, in the order of the arrays.
CREATE FUNCTION object_store.append_new(
    p_entity_ids uuid[], p_type_names text[], p_data jsonb[], p_states text[],
    p_valid_from timestamptz, p_valid_to timestamptz
) RETURNS SETOF object_store.receipt
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    me CONSTANT text COLLATE "C" := session_user;
    own_xid xid8 := object_store.log_xid(pg_current_xact_id());
    now timestamptz := object_store.next_time();
    since timestamptz := coalesce(p_valid_from, now);
    until timestamptz := coalesce(p_valid_to, 'infinity');
BEGIN
    PERFORM object_store.check_period(since, until);
    PERFORM object_store.check_sizes(p_type_names, p_data, p_states);
    RETURN QUERY
    WITH numbered AS MATERIALIZED (
        SELECT *, nextval('object_store.event_seq') AS seq
        FROM unnest(p_entity_ids, p_type_names, p_data, p_states)
            WITH ORDINALITY AS given (entity_id, type_name, data, state, place)
    ), hashed AS MATERIALIZED (
        SELECT n.*, object_store.event_hash('', n.entity_id, 1, own_xid, n.seq, 'CREATED',
            n.type_name, me, me, now, since, until, n.state, NULL, n.data, NULL, NULL) AS hash
        FROM numbered n
    ), events AS (
        INSERT INTO object_store.event
        SELECT n.entity_id, 1, own_xid, n.seq, 'CREATED', n.type_name, me, me, now, since, until,
            n.state, NULL, n.data, NULL, NULL, n.hash, 2
        FROM hashed n
    ), heads AS (
        INSERT INTO object_store.head
        SELECT me, n.entity_id, n.type_name, 1, own_xid, now, n.hash, false,
            CASE WHEN until = 'infinity' THEN since END
        FROM hashed n
    ), segments AS (
        INSERT INTO object_store.seg
        SELECT me, n.entity_id, since, until, 1, 'CREATED', n.type_name, me, me, now, n.state,
            n.data, since, until, 1
        FROM hashed n WHERE until > now
    ), ended AS (
        INSERT INTO object_store.past
        SELECT n.entity_id, since, until, 1, now FROM hashed n WHERE until <= now
    )
    SELECT n.entity_id, 1, 'CREATED', me, me, now, since, until, n.state, false
    FROM hashed n ORDER BY n.place;
END $$;

-- The same limits for each of many.
CREATE FUNCTION object_store.check_sizes(p_type_names text[], p_data jsonb[], p_states text[])
RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM object_store.check_size(g.type_name, g.state, g.data, NULL)
    FROM unnest(p_type_names, p_data, p_states) g (type_name, data, state)
    WHERE pg_column_size(g.data) > 800 OR octet_length(g.type_name) > 1000
        OR octet_length(g.state) > 1000;
END $$;

-- The next version of entities, each given once: plain statements for all.
CREATE FUNCTION object_store.append_updates(
    p_entity_ids uuid[], p_expected integer[], p_type_names text[], p_data jsonb[],
    p_states text[], p_valid_from timestamptz, p_valid_to timestamptz
) RETURNS SETOF object_store.receipt
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    me CONSTANT text COLLATE "C" := session_user;
    own_xid xid8;
    now timestamptz;
    since timestamptz;
    until timestamptz := coalesce(p_valid_to, 'infinity');
    v_kind text := 'UPDATED';
    heads object_store.head[];
    r record;
BEGIN
    -- Locked in one order, so that two batches cannot wait for each other.
    SELECT array_agg(l.head ORDER BY l.place) INTO heads FROM (
        SELECT hd AS head, given.place
        FROM unnest(p_entity_ids) WITH ORDINALITY given (entity_id, place)
        LEFT JOIN object_store.acl a ON a.grantee = me AND a.entity_id = given.entity_id
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
    FOR r IN
        SELECT l.entity_id, l.version, l.xid, l.expected
        FROM unnest(heads, p_expected) l (owner, entity_id, type_name, version, xid, tx_time, hash,
            is_shared, plain_from, expected)
        WHERE l.version IS DISTINCT FROM l.expected OR l.xid > own_xid LIMIT 1
    LOOP
        PERFORM object_store.refuse(r.entity_id, r.version, r.xid, r.expected);
    END LOOP;
    now := object_store.next_time();
    since := coalesce(p_valid_from, now);
    PERFORM object_store.check_period(since, until);
    IF since < now THEN
        v_kind := 'CORRECTED';
    END IF;
    FOR r IN
        WITH numbered AS MATERIALIZED (
            SELECT l.*, nextval('object_store.event_seq') AS seq,
                coalesce(NOT l.is_shared AND until = 'infinity' AND since >= l.plain_from
                    AND since <= now, false) AS is_plain
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
        ), new_values AS (
            UPDATE object_store.seg SET valid_from = since, version = n.version + 1,
                event_type = v_kind, type_name = n.type_name, updated_by = me, tx_time = now,
                state = n.state, data = n.data, event_from = since, newest = n.version + 1
            FROM hashed n
            WHERE n.is_plain AND seg.viewer = n.owner AND seg.entity_id = n.entity_id
                AND seg.valid_to = 'infinity'
        ), ended AS (
            INSERT INTO object_store.past
            SELECT n.entity_id, n.plain_from, since, n.version, n.before FROM hashed n
            WHERE n.is_plain AND n.plain_from < since
        )
        SELECT n.* FROM hashed n ORDER BY n.place
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
