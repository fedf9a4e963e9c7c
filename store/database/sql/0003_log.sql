-- Reading the log: the user's own events by their position, and of the entities that others share
-- with the user those that were written since.

CREATE TYPE object_store.log_row AS (
    entity_id uuid, version integer, event_type text, type_name text, updated_by text, state text,
    tx_time timestamptz, owner text, valid_from timestamptz, valid_to timestamptz,
    event_meta jsonb, data jsonb, xid xid8, seq bigint);

-- Events that the user may see after a position and before a transaction's number, in the order
-- of the log, `p_limit` at most. Types are named in full or by their last part; null for all.
CREATE FUNCTION object_store.log_rows(
    p_xid xid8, p_seq bigint, p_stop xid8, p_until timestamptz, p_full text[], p_short text[],
    p_limit bigint
) RETURNS SETOF object_store.log_row
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
-- In the order of the index. Without statistics the planner would rather sort all that is left,
-- again for each page.
SET enable_sort = off SET enable_bitmapscan = off AS $$
BEGIN
    IF object_store.sees_all() THEN
        RETURN QUERY
        SELECT e.entity_id, e.version, e.event_type, e.type_name, e.updated_by, e.state,
            e.tx_time, e.owner, e.valid_from, e.valid_to, e.event_meta, e.data, e.xid, e.seq
        FROM object_store.event e
        WHERE (e.xid, e.seq) > (p_xid, p_seq) AND e.xid < p_stop
            AND (p_until IS NULL OR e.tx_time <= p_until)
            AND (p_full IS NULL OR e.type_name = ANY(p_full)
                OR split_part(e.type_name, '.', -1) = ANY(p_short))
        ORDER BY e.xid, e.seq LIMIT p_limit;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT l.* FROM (
        (SELECT e.entity_id, e.version, e.event_type, e.type_name, e.updated_by, e.state,
            e.tx_time, e.owner, e.valid_from, e.valid_to, e.event_meta, e.data, e.xid, e.seq
         FROM object_store.event e
         WHERE e.owner = session_user AND (e.xid, e.seq) > (p_xid, p_seq) AND e.xid < p_stop
            AND (p_until IS NULL OR e.tx_time <= p_until)
            AND (p_full IS NULL OR e.type_name = ANY(p_full)
                OR split_part(e.type_name, '.', -1) = ANY(p_short))
         ORDER BY e.xid, e.seq LIMIT p_limit)
        UNION ALL
        (SELECT e.* FROM object_store.acl a
         JOIN object_store.head h ON h.owner = a.owner AND h.entity_id = a.entity_id
         CROSS JOIN LATERAL (
            SELECT e.entity_id, e.version, e.event_type, e.type_name, e.updated_by, e.state,
                e.tx_time, e.owner, e.valid_from, e.valid_to, e.event_meta, e.data, e.xid, e.seq
            FROM object_store.event e
            WHERE e.entity_id = a.entity_id AND e.version >= object_store.first_after(
                    a.entity_id, h.version, p_xid, p_seq)
                AND e.xid < p_stop AND (p_until IS NULL OR e.tx_time <= p_until)
                AND (p_full IS NULL OR e.type_name = ANY(p_full)
                    OR split_part(e.type_name, '.', -1) = ANY(p_short))
            ORDER BY e.version LIMIT p_limit) e
         WHERE a.grantee = session_user AND a.xid >= p_xid
         ORDER BY e.xid, e.seq LIMIT p_limit)
    ) l ORDER BY l.xid, l.seq LIMIT p_limit;
END $$;

-- A page of the log: as `log_rows`, and no further than the event with which `p_bytes` of data are
-- reached. Then `is_cut` is true of that one.
CREATE FUNCTION object_store.log_page(
    p_xid xid8, p_seq bigint, p_stop xid8, p_until timestamptz, p_full text[], p_short text[],
    p_limit bigint, p_bytes bigint
) RETURNS TABLE (
    entity_id uuid, version integer, event_type text, type_name text, updated_by text, state text,
    tx_time timestamptz, owner text, valid_from timestamptz, valid_to timestamptz,
    event_meta text, data text, xid_text text, seq bigint, is_cut boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    e object_store.log_row;
    bytes bigint := 0;
BEGIN
    is_cut := false;
    -- Large data are read from where they are kept one at a time.
    FOR e IN SELECT * FROM object_store.log_rows(
        p_xid, p_seq, p_stop, p_until, p_full, p_short, p_limit)
    LOOP
        entity_id := e.entity_id; version := e.version; event_type := e.event_type;
        type_name := e.type_name; updated_by := e.updated_by; state := e.state;
        tx_time := e.tx_time; owner := e.owner; valid_from := e.valid_from;
        valid_to := CASE WHEN isfinite(e.valid_to) THEN e.valid_to END;
        event_meta := e.event_meta::text; data := e.data::text; xid_text := e.xid::text;
        seq := e.seq;
        bytes := bytes + octet_length(data) + coalesce(octet_length(event_meta), 0);
        is_cut := bytes >= p_bytes;
        RETURN NEXT;
        EXIT WHEN is_cut;
    END LOOP;
END $$;

-- Before the first event that was recorded at a time or later: its position, or none.
CREATE FUNCTION object_store.position_at(p_moment timestamptz, p_stop xid8)
RETURNS TABLE (xid_text text, seq bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
    SELECT l.xid::text, l.seq FROM (
        (SELECT e.xid, e.seq FROM object_store.event e
         WHERE (e.owner = session_user OR object_store.sees_all())
            AND e.tx_time >= p_moment AND e.xid < p_stop
         ORDER BY e.xid, e.seq LIMIT 1)
        UNION ALL
        (SELECT e.xid, e.seq FROM object_store.acl a CROSS JOIN LATERAL (
            SELECT e.xid, e.seq FROM object_store.event e
            WHERE e.entity_id = a.entity_id AND e.tx_time >= p_moment AND e.xid < p_stop
            ORDER BY e.version LIMIT 1) e
         WHERE a.grantee = session_user)
    ) l ORDER BY l.xid, l.seq LIMIT 1;
END $$;

-- What was committed after a position and may be seen: how many events, `p_limit` at most, how old
-- the oldest is, and how many of them wait for a transaction that began earlier.
CREATE FUNCTION object_store.lag(
    p_xid xid8, p_seq bigint, p_full text[], p_short text[], p_limit bigint
) RETURNS TABLE (events bigint, seconds float8, fenced bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
DECLARE
    edge xid8 := object_store.fence();
BEGIN
    RETURN QUERY
    SELECT count(*), extract(epoch FROM object_store.store_time() - min(l.tx_time))::float8,
        count(*) FILTER (WHERE l.xid >= edge)
    FROM object_store.log_rows(
        p_xid, p_seq, '18446744073709551615', NULL, p_full, p_short, p_limit) l;
END $$;

-- What is there beyond the fence: it comes again when the log is followed from the fence on.
CREATE FUNCTION object_store.beyond_fence(p_type_names text[])
RETURNS TABLE (entity_id uuid, version integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
DECLARE
    edge xid8 := object_store.fence();
BEGIN
    RETURN QUERY
    SELECT l.entity_id, l.version FROM object_store.log_rows(
        edge, -1, '18446744073709551615', NULL, p_type_names, '{}', NULL) l;
END $$;

-- Stretches of the present timeline of entities, or of all of their types, now and later.
CREATE FUNCTION object_store.segments(p_type_names text[], p_entity_ids uuid[])
RETURNS SETOF object_store.seg
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
DECLARE
    moment timestamptz := object_store.store_time();
BEGIN
    IF p_entity_ids IS NULL THEN
        RETURN QUERY SELECT s.* FROM object_store.seg s
        WHERE s.viewer = session_user AND s.type_name = ANY(p_type_names) AND s.valid_to > moment;
    ELSE
        RETURN QUERY SELECT s.* FROM unnest(p_entity_ids) given CROSS JOIN LATERAL (
            SELECT * FROM object_store.seg s
            WHERE s.viewer = session_user AND s.entity_id = given
                AND s.type_name = ANY(p_type_names) AND s.valid_to > moment OFFSET 0) s;
    END IF;
END $$;

-- The same for all entities of types, as a cursor of the caller's transaction: its rows are found
-- as they are fetched.
CREATE FUNCTION object_store.open_segments(p_cursor refcursor, p_type_names text[])
RETURNS refcursor
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
DECLARE
    moment timestamptz := object_store.store_time();
BEGIN
    OPEN p_cursor NO SCROLL FOR
        SELECT s.entity_id::text, s.version, s.event_type, s.type_name, s.updated_by, s.state,
            s.tx_time, s.owner, s.event_from,
            CASE WHEN isfinite(s.event_to) THEN s.event_to END, s.data::text,
            s.valid_from <= moment,
            extract(epoch FROM CASE WHEN s.valid_from > moment THEN s.valid_from
                WHEN isfinite(s.valid_to) THEN s.valid_to END)::float8
        FROM object_store.seg s
        WHERE s.viewer = session_user AND s.type_name = ANY(p_type_names) AND s.valid_to > moment;
    RETURN p_cursor;
END $$;

-- The newest versions of those entities that the user may see.
CREATE FUNCTION object_store.newest_versions(p_type_names text[], p_entity_ids uuid[])
RETURNS TABLE (entity_id uuid, version integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
DECLARE
    v_owner text COLLATE "C";
BEGIN
    FOREACH entity_id IN ARRAY p_entity_ids LOOP
        v_owner := object_store.owner_of(entity_id);
        CONTINUE WHEN v_owner IS NULL;
        SELECT h.version INTO version FROM object_store.head h
        WHERE h.owner = v_owner AND h.entity_id = newest_versions.entity_id
            AND h.type_name = ANY(p_type_names);
        IF FOUND THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

-- Take a subscription, unless a session that is alive holds it: then `taken` is false. It runs
-- with the rights of its caller, who sees the sessions of their own role and no others.
CREATE FUNCTION object_store.own_checkpoint(p_id text) RETURNS object_store.checkpoint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
DECLARE
    c object_store.checkpoint;
BEGIN
    SELECT * INTO c FROM object_store.checkpoint k
    WHERE k.username = session_user AND k.subscriber_id = p_id;
    RETURN c;
END $$;

CREATE FUNCTION object_store.claim_checkpoint(p_id text, p_epoch text, p_xid xid8, p_seq bigint)
RETURNS TABLE (taken boolean, lease bigint, epoch text, xid xid8, seq bigint, holder_pid integer)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c object_store.checkpoint := object_store.own_checkpoint(p_id);
    own_start timestamptz;
BEGIN
    SELECT a.backend_start INTO own_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid();
    IF c.username IS NOT NULL AND c.holder_pid <> pg_backend_pid() AND EXISTS (
        SELECT FROM pg_stat_activity a
        WHERE a.pid = c.holder_pid AND a.backend_start = c.holder_start) THEN
        RETURN QUERY SELECT false, c.lease, c.epoch, c.xid, c.seq, c.holder_pid;
        RETURN;
    END IF;
    taken := object_store.take_checkpoint(p_id, c.lease, own_start, p_epoch, p_xid, p_seq);
    c := object_store.own_checkpoint(p_id);
    IF c.username IS NOT NULL THEN
        RETURN QUERY SELECT taken, c.lease, c.epoch, c.xid, c.seq, c.holder_pid;
    END IF;
END $$;

-- The user's subscriptions, or all users' for who sees everything; `unread` as far as the one who
-- asks may see it, and `p_limit` at most.
CREATE FUNCTION object_store.checkpoints(p_limit bigint)
RETURNS TABLE (
    subscriber_id text, epoch text, xid_text text, seq bigint, moved_at timestamptz,
    holder_pid integer, holder_start timestamptz, parked bigint, username text, unread bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
    SELECT c.subscriber_id, c.epoch, c.xid::text, c.seq, c.moved_at, c.holder_pid, c.holder_start,
        (SELECT count(*) FROM object_store.parked_event p
         WHERE p.username = c.username AND p.subscriber_id = c.subscriber_id), c.username,
        (SELECT l.events FROM object_store.lag(c.xid, c.seq, NULL, NULL, p_limit) l)
    FROM object_store.checkpoint c
    WHERE c.username = session_user OR object_store.sees_all()
    ORDER BY c.username, c.subscriber_id;
END $$;

-- The events that the user's subscribers parked, of one or of all; or all users'.
CREATE FUNCTION object_store.parked_events(p_id text)
RETURNS TABLE (
    subscriber_id text, entity_id uuid, version integer, error text, attempts integer,
    parked_at timestamptz, xid_text text, seq bigint, epoch text, username text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
    SELECT p.subscriber_id, p.entity_id, p.version, p.error, p.attempts, p.parked_at, p.xid::text,
        p.seq, object_store.epoch(), p.username
    FROM object_store.parked_event p
    WHERE (p.username = session_user OR object_store.sees_all())
        AND (p_id IS NULL OR p.subscriber_id = p_id)
    ORDER BY p.username, p.subscriber_id, p.xid, p.seq;
END $$;

-- The newest kept state of a projection of the user's, up to a position and a time.
CREATE FUNCTION object_store.newest_snapshot(
    p_projection text, p_revision integer, p_epoch text, p_xid xid8, p_seq bigint,
    p_tx_time timestamptz
) RETURNS TABLE (
    epoch text, xid_text text, seq bigint, events bigint, tx_time timestamptz, state text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
    SELECT s.epoch, s.xid::text, s.seq, s.events, s.tx_time, s.state
    FROM object_store.snapshot s
    WHERE s.username = session_user AND s.projection = p_projection AND s.revision = p_revision
        AND s.epoch = p_epoch AND (s.xid, s.seq) <= (p_xid, p_seq) AND s.tx_time <= p_tx_time
    ORDER BY s.xid DESC, s.seq DESC LIMIT 1;
END $$;

-- Promises of workflows that are not kept yet, as far as the user may start them.
CREATE FUNCTION object_store.pending_promises() RETURNS SETOF object_store.intent
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
    SELECT i.* FROM object_store.intent i
    WHERE i.started_at IS NULL
        AND (object_store.sees_all() OR object_store.may_start(i.owner, i.created_by))
    ORDER BY i.tx_time, i.entity_id, i.version;
END $$;

-- Is somebody starting what a version promised? No row if nothing is left to start.
CREATE FUNCTION object_store.is_starting(p_entity_id uuid, p_version integer)
RETURNS SETOF boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
    SELECT i.claimed_pid <> 0 FROM object_store.intent i
    WHERE i.entity_id = p_entity_id AND i.version = p_version AND i.started_at IS NULL
        AND object_store.may_start(i.owner, i.created_by);
END $$;

-- Promise a workflow for a change of state that this very transaction wrote.
CREATE FUNCTION object_store.promise(p_entity_id uuid, p_version integer, p_workflow text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
DECLARE
    e object_store.event;
BEGIN
    SELECT * INTO e FROM object_store.event
    WHERE entity_id = p_entity_id AND version = p_version AND updated_by = session_user
        AND xid = object_store.log_xid(pg_current_xact_id()) AND event_type = 'STATE_CHANGE';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'version % of entity % is no transition of this transaction',
            p_version, p_entity_id USING ERRCODE = '42501';
    END IF;
    INSERT INTO object_store.intent
    VALUES (e.entity_id, e.version, p_workflow, e.type_name, e.owner, e.updated_by, e.tx_time);
END $$;
