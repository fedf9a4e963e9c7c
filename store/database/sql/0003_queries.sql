-- Reading of single entities. Every function asks first whether the user may see the entity: there
-- is an entry under the user's own name, as owner or as grantee, or the entity is not there.

-- The owner of an entity that the user may see, else null.
CREATE FUNCTION object_store.owner_of(p_entity_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    found_owner text;
BEGIN
    SELECT h.owner INTO found_owner FROM object_store.head h
    WHERE h.owner = session_user AND h.entity_id = p_entity_id;
    IF NOT FOUND THEN
        SELECT a.owner INTO found_owner FROM object_store.acl a
        WHERE a.grantee = session_user AND a.entity_id = p_entity_id;
    END IF;
    RETURN found_owner;
END $$;

-- Does the session see everything, as the owner role's members and superusers do?
CREATE FUNCTION object_store.sees_all() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN pg_has_role(session_user, 'object_store_owner', 'USAGE');
END $$;

-- The value of an entity that holds now.
CREATE FUNCTION object_store.value_now(p_entity_id uuid, p_type_names text[])
RETURNS TABLE (
    entity_id uuid, version integer, event_type text, owner text, updated_by text,
    tx_time timestamptz, valid_from timestamptz, valid_to timestamptz, state text, data text,
    newest integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
-- Its statement never finds more than one row.
ROWS 1 AS $$
DECLARE
    -- As `store_time` does.
    moment CONSTANT timestamptz := greatest(clock_timestamp(), 'epoch'::timestamptz
        + pg_sequence_last_value('object_store.clock') * interval '1 microsecond');
BEGIN
    RETURN QUERY
    SELECT s.entity_id, s.version, s.event_type, s.owner, s.updated_by, s.tx_time, s.event_from,
        s.event_to, s.state, s.data::text, s.newest
    FROM object_store.seg s
    WHERE s.viewer = session_user AND s.entity_id = p_entity_id
        AND s.valid_to > moment AND s.valid_from <= moment AND s.type_name = ANY(p_type_names);
END $$;

-- The first version of an entity that was written after a position in the log. Versions and
-- positions rise together, so it is found by halving.
CREATE FUNCTION object_store.first_after(
    p_entity_id uuid, p_newest integer, p_xid xid8, p_seq bigint
) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    low integer := 1;
    high integer := p_newest + 1;
    middle integer;
    is_later boolean;
BEGIN
    WHILE low < high LOOP
        middle := (low + high) / 2;
        SELECT (e.xid, e.seq) > (p_xid, p_seq) INTO is_later FROM object_store.event e
        WHERE e.entity_id = p_entity_id AND e.version = middle;
        IF is_later THEN
            high := middle;
        ELSE
            low := middle + 1;
        END IF;
    END LOOP;
    RETURN low;
END $$;

-- The version that holds at a valid time by what was recorded up to a time; it may be a tombstone.
-- Null where there is none, or none that the user may see.
CREATE FUNCTION object_store.version_at(p_entity_id uuid, p_tx timestamptz, p_valid timestamptz)
RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_owner text COLLATE "C" := object_store.owner_of(p_entity_id);
    found_version integer;
    low integer := 1;
    high integer;
    middle integer;
    is_later boolean;
BEGIN
    IF v_owner IS NULL THEN
        RETURN NULL;
    END IF;
    -- What holds by the present timeline and was recorded by then held by then, too.
    SELECT version INTO found_version FROM (
        (SELECT * FROM (SELECT valid_from, version, tx_time FROM object_store.seg
            WHERE viewer = session_user AND entity_id = p_entity_id AND valid_to > p_valid
            ORDER BY valid_to LIMIT 1) s
         WHERE valid_from <= p_valid)
        UNION ALL
        (SELECT * FROM (SELECT valid_from, version, tx_time FROM object_store.past
            WHERE entity_id = p_entity_id AND valid_to > p_valid ORDER BY valid_to LIMIT 1) p
         WHERE valid_from <= p_valid)
    ) present WHERE tx_time <= p_tx;
    IF FOUND THEN
        RETURN found_version;
    END IF;
    -- Within an entity, tx_time rises with each version: halving finds the first later one.
    SELECT h.version + 1 INTO high FROM object_store.head h
    WHERE h.owner = v_owner AND h.entity_id = p_entity_id;
    WHILE low < high LOOP
        middle := (low + high) / 2;
        SELECT e.tx_time > p_tx INTO is_later FROM object_store.event e
        WHERE e.entity_id = p_entity_id AND e.version = middle;
        IF is_later THEN
            high := middle;
        ELSE
            low := middle + 1;
        END IF;
    END LOOP;
    SELECT e.version INTO found_version FROM object_store.event e
    WHERE e.entity_id = p_entity_id AND e.version < low
        AND e.valid_from <= p_valid AND e.valid_to > p_valid
    ORDER BY e.version DESC LIMIT 1;
    RETURN found_version;
END $$;

-- Wait until a time is the past by the store's clock, two seconds at most; from then on nothing is
-- recorded up to it, whatever the server's clock does.
CREATE FUNCTION object_store.settle_time(p_tx timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
DECLARE
    wanted bigint;
BEGIN
    IF p_tx IS NULL OR p_tx = '-infinity' THEN
        RETURN;
    END IF;
    IF p_tx > object_store.store_time() + interval '2 seconds' THEN
        RAISE EXCEPTION 'tx_time % lies ahead of the store''s clock, which is at %: what will be '
            'recorded until then is not known', p_tx, object_store.store_time()
            USING ERRCODE = 'OS007';
    END IF;
    WHILE p_tx > object_store.store_time() LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
    wanted := extract(epoch FROM p_tx) * 1000000;
    IF wanted > pg_sequence_last_value('object_store.clock') THEN
        PERFORM setval('object_store.clock', wanted);
    END IF;
END $$;

-- The value of an entity at a valid time by what was recorded up to a time; nulls mean now.
CREATE FUNCTION object_store.value_at(
    p_entity_id uuid, p_type_names text[], p_tx timestamptz, p_valid timestamptz
) RETURNS TABLE (
    entity_id uuid, version integer, event_type text, owner text, updated_by text,
    tx_time timestamptz, valid_from timestamptz, valid_to timestamptz, state text, data text,
    newest integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off SET plan_cache_mode = force_generic_plan ROWS 1 AS $$
DECLARE
    found_version integer := object_store.version_at(
        p_entity_id, coalesce(p_tx, 'infinity'), coalesce(p_valid, object_store.store_time()));
BEGIN
    RETURN QUERY
    SELECT e.entity_id, e.version, e.event_type, e.owner, e.updated_by, e.tx_time, e.valid_from,
        e.valid_to, e.state, e.data::text, h.version
    FROM object_store.event e
    JOIN object_store.head h ON h.owner = e.owner AND h.entity_id = e.entity_id
    WHERE e.entity_id = p_entity_id AND e.version = found_version
        AND e.type_name = ANY(p_type_names) AND e.event_type <> 'DELETED';
END $$;

-- Every version of an entity, tombstones too; of all types if none are given.
CREATE FUNCTION object_store.versions(p_entity_id uuid, p_type_names text[])
RETURNS TABLE (
    entity_id uuid, version integer, event_type text, owner text, updated_by text,
    tx_time timestamptz, valid_from timestamptz, valid_to timestamptz, state text, data text,
    newest integer, event_meta jsonb, type_name text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_owner text COLLATE "C" := object_store.owner_of(p_entity_id);
BEGIN
    IF v_owner IS NOT NULL THEN
        RETURN QUERY
        SELECT e.entity_id, e.version, e.event_type, e.owner, e.updated_by, e.tx_time,
            e.valid_from, e.valid_to, e.state, e.data::text,
            (SELECT h.version FROM object_store.head h
             WHERE h.owner = v_owner AND h.entity_id = p_entity_id),
            e.event_meta, e.type_name
        FROM object_store.event e
        WHERE e.entity_id = p_entity_id
            AND (p_type_names IS NULL OR e.type_name = ANY(p_type_names))
        ORDER BY e.version;
    END IF;
END $$;

-- What the user's own write under an id answered.
CREATE FUNCTION object_store.written_as(p_event_id uuid) RETURNS SETOF object_store.receipt
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off SET plan_cache_mode = force_generic_plan ROWS 1 AS $$
BEGIN
    RETURN QUERY
    SELECT e.entity_id, e.version, e.event_type, e.owner, e.updated_by, e.tx_time, e.valid_from,
        e.valid_to, e.state, true
    FROM object_store.event e WHERE e.updated_by = session_user AND e.event_id = p_event_id;
END $$;

-- The type names of the entities that the user may see, deleted ones too.
CREATE FUNCTION object_store.type_names() RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
    SELECT h.type_name FROM object_store.head h WHERE h.owner = session_user
    UNION
    SELECT h.type_name FROM object_store.acl a
    JOIN object_store.head h ON h.owner = a.owner AND h.entity_id = a.entity_id
    WHERE a.grantee = session_user
    ORDER BY 1;
END $$;
