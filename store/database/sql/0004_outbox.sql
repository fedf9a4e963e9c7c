-- Promises are claimed by those who can start them, and what cannot be started waits longer each
-- time: promises that nobody may start cost nobody anything.
ALTER TABLE object_store.intent
    ADD COLUMN attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN retry_at timestamptz NOT NULL DEFAULT '-infinity';
-- Why a start failed, the last time. For administrators: it may tell of somebody else's process.
CREATE TABLE object_store.failed_start (
    entity_id   uuid NOT NULL,
    version     integer NOT NULL,
    error       text COLLATE "C" NOT NULL,
    PRIMARY KEY (entity_id, version)
);
-- By a hash: names are longer than an index takes.
CREATE INDEX intent_by_workflow ON object_store.intent (md5(workflow), retry_at)
    WHERE started_at IS NULL;
CREATE INDEX intent_by_creator ON object_store.intent (created_by, retry_at)
    WHERE started_at IS NULL;

-- Is nobody starting it? The session of who took it is gone, or has had it for a minute.
CREATE FUNCTION object_store.is_unclaimed(p_claimed_at timestamptz, p_claimed_pid integer)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT p_claimed_at < clock_timestamp() - interval '1 minute'
        OR p_claimed_pid = pg_backend_pid()
        OR NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = p_claimed_pid)
$$;

-- Take the promise of one's own transition, to start it at once; none if somebody else is faster.
CREATE FUNCTION object_store.claim_promise(p_entity_id uuid, p_version integer)
RETURNS TABLE (
    entity_id uuid, version integer, workflow text, type_name text, created_by text,
    tx_time timestamptz, attempts integer)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE object_store.intent i
    SET claimed_pid = pg_backend_pid(), claimed_at = clock_timestamp()
    WHERE i.entity_id = p_entity_id AND i.version = p_version AND i.started_at IS NULL
        AND i.created_by = session_user AND object_store.is_unclaimed(i.claimed_at, i.claimed_pid)
    RETURNING i.entity_id, i.version, i.workflow, i.type_name, i.created_by, i.tx_time, i.attempts
$$;

-- Take promises to start that are due and that nobody else is starting, each once in a drain that
-- began at `p_begun`: one's own, of `p_own_types` (all, if that is null); those of a type and a
-- workflow in the pairs of `p_types` and `p_workflows`; and those of a workflow in `p_any`.
-- Each comes with what tells whether a state machine promises this: the type that the entity was
-- created with, the state it moved to, and the states that it may have moved from: of the version
-- before, and of the value that held when the transition was recorded.
CREATE FUNCTION object_store.claim_promises_of(
    p_begun timestamptz, p_limit integer, p_own_types text[], p_types text[], p_workflows text[],
    p_any text[])
RETURNS TABLE (
    entity_id uuid, version integer, workflow text, type_name text, created_by text,
    tx_time timestamptz, attempts integer, created_type text, state text, states_before text[])
-- By indexes, whatever the statistics say: none of this may depend on how much lies about.
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    WITH wanted AS MATERIALIZED (
        SELECT i.* FROM object_store.intent i
        WHERE i.started_at IS NULL AND i.retry_at <= clock_timestamp()
            AND i.created_by = session_user
            AND (p_own_types IS NULL OR i.type_name = ANY (p_own_types))
        UNION
        SELECT i.* FROM unnest(p_types, p_workflows) d (type_name, workflow)
        JOIN object_store.intent i ON md5(i.workflow) = md5(d.workflow)
            AND i.workflow = d.workflow AND i.type_name = d.type_name
        WHERE i.started_at IS NULL AND i.retry_at <= clock_timestamp()
        UNION
        SELECT i.* FROM unnest(p_any) d (workflow)
        JOIN object_store.intent i ON md5(i.workflow) = md5(d.workflow) AND i.workflow = d.workflow
        WHERE i.started_at IS NULL AND i.retry_at <= clock_timestamp()
    ), due AS MATERIALIZED (
        -- Before rows are locked, and of no others: these are the dear questions.
        SELECT w.entity_id, w.version, w.claimed_at, w.claimed_pid FROM wanted w
        WHERE w.claimed_at < p_begun AND object_store.may_start(w.owner, w.created_by)
            AND object_store.is_unclaimed(w.claimed_at, w.claimed_pid)
        ORDER BY w.tx_time LIMIT p_limit
    ), free AS (
        SELECT i.entity_id, i.version
        FROM object_store.intent i JOIN due USING (entity_id, version)
        -- Not claimed since this statement began to look: another's claim may have been made before
        -- and committed after.
        WHERE i.started_at IS NULL AND i.claimed_at = due.claimed_at
            AND i.claimed_pid = due.claimed_pid FOR UPDATE OF i SKIP LOCKED
    ), taken AS (
        UPDATE object_store.intent i
        SET claimed_pid = pg_backend_pid(), claimed_at = clock_timestamp()
        FROM free WHERE (i.entity_id, i.version) = (free.entity_id, free.version)
        RETURNING i.*
    )
    SELECT t.entity_id, t.version, t.workflow, t.type_name, t.created_by, t.tx_time, t.attempts,
        (SELECT e.type_name FROM object_store.event e
            WHERE e.entity_id = t.entity_id AND e.version = 1),
        (SELECT e.state FROM object_store.event e
            WHERE e.entity_id = t.entity_id AND e.version = t.version),
        ARRAY[
            (SELECT e.state FROM object_store.event e
                WHERE e.entity_id = t.entity_id AND e.version = t.version - 1),
            (SELECT e.state FROM object_store.event e
                WHERE e.entity_id = t.entity_id AND e.version < t.version
                    AND e.valid_from <= t.tx_time AND t.tx_time < e.valid_to
                ORDER BY e.version DESC LIMIT 1)]
    FROM taken t
$$;

-- A promise could not be started: it waits so many seconds before it is tried again.
CREATE FUNCTION object_store.postpone_promise(
    p_entity_id uuid, p_version integer, p_seconds double precision, p_error text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE object_store.intent i SET
        claimed_pid = 0, attempts = least(i.attempts, 1000000) + 1,
        retry_at = clock_timestamp() + make_interval(secs => least(greatest(p_seconds, 0), 86400))
    WHERE i.entity_id = p_entity_id AND i.version = p_version AND i.started_at IS NULL
        AND object_store.may_start(i.owner, i.created_by);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO object_store.failed_start VALUES (p_entity_id, p_version, left(p_error, 1000))
    ON CONFLICT (entity_id, version) DO UPDATE SET error = excluded.error;
    RETURN true;
END $$;

REVOKE ALL ON FUNCTION
    object_store.is_unclaimed, object_store.claim_promise, object_store.claim_promises_of,
    object_store.postpone_promise
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    object_store.claim_promise, object_store.claim_promises_of, object_store.postpone_promise
TO object_store_user;
