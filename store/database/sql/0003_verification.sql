-- What `store.verification` asks: does everything that is read follow from the log?

-- The hash of an event by the formula that it was written with. The first one took texts in the
-- encoding of the writer's session, which nothing tells: where UTF-8 does not give the hash, the
-- others are tried.
CREATE FUNCTION object_store.due_hash(previous bytea, e object_store.event) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET client_encoding = 'UTF8' AS $$
DECLARE
    result bytea;
    due bytea;
    encoding text;
BEGIN
    IF e.formula = 2 THEN
        RETURN object_store.event_hash(previous, e.entity_id, e.version, e.xid, e.seq,
            e.event_type, e.type_name, e.owner, e.updated_by, e.tx_time, e.valid_from, e.valid_to,
            e.state, e.event_meta, e.data, e.event_id, e.request);
    ELSIF e.formula <> 1 THEN
        RETURN NULL;
    END IF;
    due := object_store.chained(previous, e);
    IF due = e.hash THEN
        RETURN due;
    END IF;
    FOR encoding IN
        SELECT name FROM (
            SELECT pg_encoding_to_char(number) AS name FROM generate_series(0, 41) number) known
        WHERE name NOT IN ('', 'UTF8', 'MULE_INTERNAL')
    LOOP
        BEGIN
            PERFORM set_config('client_encoding', encoding, true);
            result := object_store.chained(previous, e);
            EXIT WHEN result = e.hash;
        EXCEPTION WHEN OTHERS THEN
            -- No conversion to it, or none of these characters.
            result := NULL;
        END;
    END LOOP;
    RETURN CASE WHEN result = e.hash THEN result ELSE due END;
END $$;

-- Which entities the user may see, in the order of their ids; of everything that there is, for who
-- sees all.
CREATE FUNCTION object_store.visible_entities() RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
BEGIN
    IF object_store.sees_all() THEN
        RETURN QUERY
        SELECT e.entity_id FROM object_store.event e UNION SELECT h.entity_id FROM object_store.head h
        UNION SELECT s.entity_id FROM object_store.seg s
        UNION SELECT p.entity_id FROM object_store.past p ORDER BY 1;
    ELSE
        RETURN QUERY
        SELECT h.entity_id FROM object_store.head h WHERE h.owner = session_user
        UNION
        SELECT a.entity_id FROM object_store.acl a WHERE a.grantee = session_user ORDER BY 1;
    END IF;
END $$;

-- Everything that is wrong with entities, as far as the user sees them, entity by entity.
CREATE FUNCTION object_store.breaks(p_entity_ids uuid[])
RETURNS TABLE (entity_id uuid, version integer, problem text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Whose owner no event tells.
    lost uuid[] := ARRAY(SELECT given FROM unnest(p_entity_ids) given WHERE NOT EXISTS (
        SELECT FROM object_store.event e WHERE e.entity_id = given));
BEGIN
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT DISTINCT given AS id FROM unnest(p_entity_ids) given
    ), logged AS MATERIALIZED (
        SELECT e.* FROM asked CROSS JOIN LATERAL (
            SELECT * FROM object_store.event v WHERE v.entity_id = asked.id OFFSET 0) e
    ), heads AS MATERIALIZED (
        SELECT h.* FROM asked CROSS JOIN LATERAL (
            SELECT * FROM object_store.head t
            WHERE t.entity_id = asked.id AND t.owner = ANY(
                -- Every owner that is told of anywhere.
                SELECT v.owner FROM object_store.event v WHERE v.entity_id = asked.id
                UNION SELECT a.owner FROM object_store.acl a WHERE a.entity_id = asked.id
                UNION SELECT session_user::text) OFFSET 0) h
        UNION
        SELECT t.* FROM object_store.head t
        WHERE cardinality(lost) > 0 AND object_store.sees_all() AND t.entity_id = ANY(lost)
    ), acls AS MATERIALIZED (
        SELECT a.* FROM asked CROSS JOIN LATERAL (
            SELECT * FROM object_store.acl t WHERE t.entity_id = asked.id OFFSET 0) a
    ), viewers AS MATERIALIZED (
        SELECT h.entity_id, h.owner AS viewer FROM heads h
        UNION
        SELECT a.entity_id, a.grantee FROM acls a
    ), segments AS MATERIALIZED (
        SELECT s.* FROM viewers w CROSS JOIN LATERAL (
            SELECT * FROM object_store.seg t
            WHERE t.viewer = w.viewer AND t.entity_id = w.entity_id OFFSET 0) s
    ), ended AS MATERIALIZED (
        SELECT p.* FROM asked CROSS JOIN LATERAL (
            SELECT * FROM object_store.past t WHERE t.entity_id = asked.id OFFSET 0) p
    ), chain AS (
        SELECT e.entity_id, e.version, e.owner, e.type_name, e.hash, e.tx_time, e.seq, e.xid,
            object_store.due_hash(
                coalesce(lag(e.hash) OVER w, ''), ROW(e.*)::object_store.event) AS due,
            lag(e.version) OVER w AS before,
            lead(e.version) OVER w IS NULL AS last,
            e.tx_time <= lag(e.tx_time) OVER w OR (e.xid, e.seq) <= (lag(e.xid) OVER w,
                lag(e.seq) OVER w) OR e.owner <> lag(e.owner) OVER w AS unordered
        FROM logged e WINDOW w AS (PARTITION BY e.entity_id ORDER BY e.version)
    ), due AS (
        -- Where each version still holds: its period without those of all newer ones.
        SELECT e.entity_id, e.version, tstzmultirange(tstzrange(e.valid_from, e.valid_to))
            - coalesce(object_store.union_of(
                tstzmultirange(tstzrange(e.valid_from, e.valid_to))) OVER (
                    PARTITION BY e.entity_id ORDER BY e.version DESC
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), '{}') AS holds,
            e.event_type
        FROM logged e
    ), piece AS (
        SELECT s.viewer, s.entity_id, s.version, s.valid_from, s.valid_to FROM segments s
        UNION ALL
        SELECT w.viewer, p.entity_id, p.version, p.valid_from, p.valid_to
        FROM ended p JOIN viewers w ON w.entity_id = p.entity_id
    ), kept AS (
        SELECT p.viewer, p.entity_id, p.version,
            range_agg(tstzrange(p.valid_from, p.valid_to)) AS holds
        FROM piece p GROUP BY p.viewer, p.entity_id, p.version
    )
    SELECT DISTINCT ON (f.entity_id, f.rank, f.version, f.problem)
        f.entity_id, f.version, f.problem
    FROM (
        SELECT c.entity_id, c.version, 1 AS rank, CASE
            WHEN c.version <> coalesce(c.before, 0) + 1 THEN 'the version before it is missing'
            WHEN c.hash IS DISTINCT FROM c.due THEN 'it does not fit its hash'
            ELSE 'it is out of order' END AS problem
        FROM chain c
        -- What follows a gap is not wrong itself.
        WHERE c.version <> coalesce(c.before, 0) + 1
            OR c.hash IS DISTINCT FROM c.due OR c.unordered
        UNION ALL
        SELECT c.entity_id, c.version, 1, 'it is not the newest one that was written'
        FROM chain c LEFT JOIN heads h ON h.entity_id = c.entity_id
        WHERE c.last AND (h.version, h.hash, h.owner, h.type_name, h.xid, h.tx_time)
            IS DISTINCT FROM (c.version, c.hash, c.owner, c.type_name, c.xid, c.tx_time)
        UNION ALL
        SELECT h.entity_id, h.version, 1, 'all its events are missing'
        FROM heads h WHERE NOT EXISTS (
            SELECT FROM logged e WHERE e.entity_id = h.entity_id)
        UNION ALL
        SELECT s.entity_id, s.version, 2, 'what is read is not what was written'
        FROM segments s LEFT JOIN logged e ON e.entity_id = s.entity_id AND e.version = s.version
        LEFT JOIN heads h ON h.entity_id = s.entity_id
        WHERE (e.data, e.state, e.event_type, e.type_name, e.owner, e.updated_by, e.tx_time,
                e.valid_from, e.valid_to, h.version)
            IS DISTINCT FROM
            (s.data, s.state, s.event_type, s.type_name, s.owner, s.updated_by, s.tx_time,
                s.event_from, s.event_to, s.newest)
        UNION ALL
        SELECT p.entity_id, p.version, 2, 'what is read of the past is not what was written'
        FROM ended p LEFT JOIN heads h ON h.entity_id = p.entity_id
        LEFT JOIN logged e ON e.entity_id = p.entity_id AND e.version = p.version
        WHERE e.tx_time IS DISTINCT FROM p.tx_time OR h.tx_time < p.valid_to
        UNION ALL
        SELECT coalesce(d.entity_id, k.entity_id), coalesce(d.version, k.version), 3,
            'it is not read for the periods that it holds for'
        FROM (SELECT d.*, w.viewer FROM due d JOIN viewers w ON w.entity_id = d.entity_id) d
        FULL JOIN kept k ON k.viewer = d.viewer AND k.entity_id = d.entity_id
            AND k.version = d.version
        WHERE coalesce(k.holds, '{}')
            IS DISTINCT FROM CASE WHEN d.event_type = 'DELETED' THEN '{}' ELSE d.holds END
        UNION ALL
        SELECT o.entity_id, o.version, 4, 'it is read beside another version' FROM (
            SELECT p.entity_id, p.version, p.valid_from < lag(p.valid_to) OVER (
                PARTITION BY p.viewer, p.entity_id ORDER BY p.valid_from) AS overlaps
            FROM piece p) o
        WHERE o.overlaps
        UNION ALL
        SELECT h.entity_id, h.version, 5, 'those who may see it are not those it is shared with'
        FROM heads h
        WHERE h.is_shared <> EXISTS (SELECT FROM acls a WHERE a.entity_id = h.entity_id)
            OR EXISTS (SELECT FROM acls a WHERE a.entity_id = h.entity_id
                AND (a.owner <> h.owner OR a.xid <> h.xid))
            OR (h.plain_from IS NOT NULL AND h.plain_from IS DISTINCT FROM (
                SELECT min(s.valid_from) FROM segments s
                WHERE s.entity_id = h.entity_id AND s.viewer = h.owner
                HAVING count(*) = 1 AND min(s.version) = h.version
                    AND min(s.valid_to) = 'infinity'))) f
    -- First what is wrong with the log itself: the rest may come of it.
    ORDER BY f.entity_id, f.rank, f.version, f.problem;
END $$;

-- How many entities and events of those asked for the user may see, and what is wrong with them:
-- `[[entity_id, version, problem], …]`.
CREATE FUNCTION object_store.verify(p_entity_ids uuid[])
RETURNS TABLE (entities bigint, events bigint, problems jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
DECLARE
    visible uuid[] := p_entity_ids;
BEGIN
    IF NOT object_store.sees_all() THEN
        SELECT coalesce(array_agg(given), '{}') INTO visible FROM unnest(p_entity_ids) given
        WHERE object_store.owner_of(given) IS NOT NULL;
    END IF;
    RETURN QUERY
    SELECT (SELECT count(*) FROM unnest(visible) given WHERE EXISTS (
                SELECT FROM object_store.event e WHERE e.entity_id = given)),
        (SELECT count(*) FROM unnest(visible) given CROSS JOIN LATERAL (
            SELECT FROM object_store.event e WHERE e.entity_id = given OFFSET 0) e),
        (SELECT jsonb_agg(jsonb_build_array(b.entity_id, b.version, b.problem) ORDER BY b.place)
         FROM object_store.breaks(visible)
            WITH ORDINALITY b (entity_id, version, problem, place));
END $$;

-- What `breaks` is not asked about. A user is told of their own events whose entity has no head;
-- an administrator also of copies for users who may not see them, and of heads and grants that
-- belong to nothing.
CREATE FUNCTION object_store.orphans()
RETURNS TABLE (entity_id uuid, version integer, problem text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
BEGIN
    IF NOT object_store.sees_all() THEN
        RETURN QUERY
        SELECT e.entity_id, max(e.version), 'it is not the newest one that was written'
        FROM object_store.event e
        WHERE e.owner = session_user AND NOT EXISTS (SELECT FROM object_store.head h
            WHERE h.owner = session_user AND h.entity_id = e.entity_id)
        GROUP BY e.entity_id;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT DISTINCT s.entity_id, s.version, 'it is read by one who may not see it'
    FROM object_store.seg s
    WHERE NOT EXISTS (SELECT FROM object_store.head h
            WHERE h.owner = s.viewer AND h.entity_id = s.entity_id)
        AND NOT EXISTS (SELECT FROM object_store.acl a
            WHERE a.grantee = s.viewer AND a.entity_id = s.entity_id)
    UNION ALL
    SELECT h.entity_id, h.version, 'all its events are missing' FROM object_store.head h
    WHERE NOT EXISTS (SELECT FROM object_store.event e WHERE e.entity_id = h.entity_id)
    UNION ALL
    SELECT a.entity_id, 0, 'it is shared by one who does not own it' FROM object_store.acl a
    WHERE NOT EXISTS (SELECT FROM object_store.head h
        WHERE h.owner = a.owner AND h.entity_id = a.entity_id);
END $$;
