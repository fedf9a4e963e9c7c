-- Reading of single entities, by functions that keep their plans.

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
