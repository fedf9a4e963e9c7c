-- What `store.verification` asks: does everything that is read follow from the log?

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
