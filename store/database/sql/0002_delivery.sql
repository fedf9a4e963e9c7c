-- Version 2 of the store's schema: reading the log, and what subscribers have read.
--
-- checkpoint    how far a subscriber has come, one row for each user and subscriber_id
-- parked_event  events that a subscriber's handler would not take, with its error
-- intent        workflows that a transition promised, started or not yet
-- snapshot      states of projections

-- Whose numbers the positions of the log are: the cluster's, in its era. See decision 0044.
CREATE FUNCTION object_store.epoch() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s-%s', system_identifier, number) FROM object_store.era
    ORDER BY number DESC LIMIT 1
$$;

-- The log is in the order of time, nearly: a few pages a range tell where an instant is.
CREATE INDEX event_by_tx_time ON object_store.event USING brin (tx_time)
    WITH (pages_per_range = 32, autosummarize = on);

CREATE TABLE object_store.checkpoint (
    username      text COLLATE "C" NOT NULL,
    subscriber_id text COLLATE "C" NOT NULL CHECK (length(subscriber_id) BETWEEN 1 AND 200),
    epoch         text COLLATE "C" NOT NULL,
    xid           xid8 NOT NULL,
    seq           bigint NOT NULL,
    moved_at      timestamptz NOT NULL,
    -- Counts the sessions that held it. One that lost it moves it no more.
    lease         bigint NOT NULL,
    holder_pid    integer NOT NULL,
    holder_start  timestamptz NOT NULL,
    PRIMARY KEY (username, subscriber_id)
) WITH (fillfactor = 50);

CREATE TABLE object_store.parked_event (
    username      text COLLATE "C" NOT NULL,
    subscriber_id text COLLATE "C" NOT NULL,
    entity_id     uuid NOT NULL,
    version       integer NOT NULL,
    xid           xid8 NOT NULL,
    seq           bigint NOT NULL,
    error         text NOT NULL,
    attempts      integer NOT NULL,
    parked_at     timestamptz NOT NULL,
    PRIMARY KEY (username, subscriber_id, entity_id, version)
);

-- Take a subscription for this session, if `p_seen` is still its lease; a new one begins at the
-- position given. False if somebody else took it meanwhile.
CREATE FUNCTION object_store.take_checkpoint(
    p_id text, p_seen bigint, p_start timestamptz, p_epoch text, p_xid xid8, p_seq bigint
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF p_seen IS NULL THEN
        INSERT INTO object_store.checkpoint VALUES (
            session_user, p_id, p_epoch, p_xid, p_seq, clock_timestamp(), 1, pg_backend_pid(),
            p_start)
        ON CONFLICT DO NOTHING;
    ELSE
        UPDATE object_store.checkpoint SET
            lease = lease + 1, holder_pid = pg_backend_pid(), holder_start = p_start
        WHERE username = session_user AND subscriber_id = p_id AND lease = p_seen;
    END IF;
    RETURN FOUND;
END $$;

-- Take a subscription, unless a session that is alive holds it: then `taken` is false. It runs
-- with the rights of its caller, who sees the sessions of their own role and no others.
CREATE FUNCTION object_store.claim_checkpoint(p_id text, p_epoch text, p_xid xid8, p_seq bigint)
RETURNS TABLE (taken boolean, lease bigint, epoch text, xid xid8, seq bigint, holder_pid integer)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c object_store.checkpoint;
    own_start timestamptz;
BEGIN
    SELECT a.backend_start INTO own_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid();
    SELECT * INTO c FROM object_store.checkpoint k
    WHERE k.username = session_user AND k.subscriber_id = p_id;
    IF FOUND AND c.holder_pid <> pg_backend_pid() AND EXISTS (
        SELECT FROM pg_stat_activity a
        WHERE a.pid = c.holder_pid AND a.backend_start = c.holder_start) THEN
        RETURN QUERY SELECT false, c.lease, c.epoch, c.xid, c.seq, c.holder_pid;
        RETURN;
    END IF;
    taken := object_store.take_checkpoint(p_id, c.lease, own_start, p_epoch, p_xid, p_seq);
    RETURN QUERY SELECT taken, k.lease, k.epoch, k.xid, k.seq, k.holder_pid
    FROM object_store.checkpoint k WHERE k.username = session_user AND k.subscriber_id = p_id;
END $$;

-- Move a subscription forward, for the session that holds it; false if it lost it. An event that
-- its handler would not take is parked in the same step.
CREATE FUNCTION object_store.move_checkpoint(
    p_id text, p_lease bigint, p_xid xid8, p_seq bigint,
    p_entity_id uuid, p_version integer, p_error text, p_attempts integer
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE object_store.checkpoint c SET xid = p_xid, seq = p_seq, moved_at = clock_timestamp()
    WHERE c.username = session_user AND c.subscriber_id = p_id AND c.lease = p_lease
        AND (c.xid, c.seq) <= (p_xid, p_seq);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF p_error IS NOT NULL THEN
        INSERT INTO object_store.parked_event VALUES (
            session_user, p_id, p_entity_id, p_version, p_xid, p_seq, left(p_error, 10000),
            p_attempts, clock_timestamp())
        ON CONFLICT (username, subscriber_id, entity_id, version) DO UPDATE SET
            error = excluded.error, attempts = excluded.attempts, parked_at = excluded.parked_at;
    END IF;
    RETURN true;
END $$;

-- Let go of a subscription, so that another session need not wait for this one's end.
CREATE FUNCTION object_store.release_checkpoint(p_id text, p_lease bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE object_store.checkpoint SET holder_pid = 0
    WHERE username = session_user AND subscriber_id = p_id AND lease = p_lease;
    RETURN FOUND;
END $$;

-- Forget a subscription with what it parked; the next start under its id begins anew.
CREATE FUNCTION object_store.forget_checkpoint(p_id text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM object_store.parked_event
    WHERE username = session_user AND subscriber_id = p_id;
    DELETE FROM object_store.checkpoint
    WHERE username = session_user AND subscriber_id = p_id;
    RETURN FOUND;
END $$;

-- Take a parked event off the list: somebody dealt with it.
CREATE FUNCTION object_store.unpark(p_id text, p_entity_id uuid, p_version integer)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM object_store.parked_event
    WHERE username = session_user AND subscriber_id = p_id
        AND entity_id = p_entity_id AND version = p_version;
    RETURN FOUND;
END $$;

-- Workflows that transitions promised. The row is written by the transition's own transaction.
CREATE TABLE object_store.intent (
    entity_id   uuid NOT NULL,
    version     integer NOT NULL,
    workflow    text COLLATE "C" NOT NULL CHECK (length(workflow) BETWEEN 1 AND 1000),
    type_name   text COLLATE "C" NOT NULL,
    owner       text COLLATE "C" NOT NULL,
    created_by  text COLLATE "C" NOT NULL,
    tx_time     timestamptz NOT NULL,
    started_at  timestamptz,
    -- The session that is starting it now, 0 for none, and when it began to.
    claimed_pid integer NOT NULL DEFAULT 0,
    claimed_at  timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (entity_id, version)
) WITH (fillfactor = 80);
CREATE INDEX intent_pending ON object_store.intent (tx_time) WHERE started_at IS NULL;

-- May the user start what was promised? Its creator, the owner of the entity, and dispatchers.
CREATE FUNCTION object_store.may_start(p_owner text, p_created_by text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT p_owner = session_user OR p_created_by = session_user
        OR pg_has_role(session_user, 'object_store_dispatcher', 'MEMBER')
$$;

-- Promise a workflow for a change of state that this very transaction wrote.
CREATE FUNCTION object_store.promise(p_entity_id uuid, p_version integer, p_workflow text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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

-- Take promises to start, that nobody else is starting: the session of who took one is gone, or
-- has had it for a minute. Each is taken once by a drain, which began at `p_begun`.
CREATE FUNCTION object_store.claim_promises(p_begun timestamptz, p_limit integer)
RETURNS TABLE (
    entity_id uuid, version integer, workflow text, type_name text, created_by text,
    tx_time timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH free AS (
        SELECT i.entity_id, i.version FROM object_store.intent i
        WHERE i.started_at IS NULL AND object_store.may_start(i.owner, i.created_by)
            AND i.claimed_at < p_begun
            AND (i.claimed_at < clock_timestamp() - interval '1 minute'
                OR i.claimed_pid = pg_backend_pid()
                OR NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = i.claimed_pid))
        ORDER BY i.tx_time LIMIT p_limit FOR UPDATE SKIP LOCKED
    )
    UPDATE object_store.intent i
    SET claimed_pid = pg_backend_pid(), claimed_at = clock_timestamp()
    FROM free WHERE (i.entity_id, i.version) = (free.entity_id, free.version)
    RETURNING i.entity_id, i.version, i.workflow, i.type_name, i.created_by, i.tx_time
$$;

-- A promise is kept, or could not be: then others may try.
CREATE FUNCTION object_store.settle_promise(
    p_entity_id uuid, p_version integer, p_started boolean
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE object_store.intent i SET
        claimed_pid = 0, started_at = CASE WHEN p_started THEN clock_timestamp() END
    WHERE i.entity_id = p_entity_id AND i.version = p_version AND i.started_at IS NULL
        AND object_store.may_start(i.owner, i.created_by);
    RETURN FOUND;
END $$;

-- States of projections, each with the position up to which the log is folded into it.
CREATE TABLE object_store.snapshot (
    username    text COLLATE "C" NOT NULL,
    projection  text COLLATE "C" NOT NULL CHECK (length(projection) BETWEEN 1 AND 200),
    revision    integer NOT NULL,
    epoch       text COLLATE "C" NOT NULL,
    xid         xid8 NOT NULL,
    seq         bigint NOT NULL,
    events      bigint NOT NULL,
    -- The latest of the events in it.
    tx_time     timestamptz NOT NULL,
    state       text NOT NULL,
    saved_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (username, projection, xid, seq)
);

-- Keep a state, and of the older ones as many as `p_keep`; those of another revision go.
CREATE FUNCTION object_store.save_snapshot(
    p_projection text, p_revision integer, p_epoch text, p_xid xid8, p_seq bigint, p_events bigint,
    p_tx_time timestamptz, p_state text, p_keep integer
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM object_store.snapshot s
    WHERE s.username = session_user AND s.projection = p_projection
        AND (s.revision <> p_revision OR s.epoch <> p_epoch);
    INSERT INTO object_store.snapshot VALUES (
        session_user, p_projection, p_revision, p_epoch, p_xid, p_seq, p_events, p_tx_time, p_state)
    ON CONFLICT DO NOTHING;
    DELETE FROM object_store.snapshot s
    WHERE s.username = session_user AND s.projection = p_projection AND (s.xid, s.seq) < (
        SELECT k.xid, k.seq FROM object_store.snapshot k
        WHERE k.username = session_user AND k.projection = p_projection
        ORDER BY k.xid DESC, k.seq DESC OFFSET p_keep - 1 LIMIT 1);
END $$;

-- Forget all states of a projection.
CREATE FUNCTION object_store.drop_snapshots(p_projection text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM object_store.snapshot s
    WHERE s.username = session_user AND s.projection = p_projection;
    RETURN FOUND;
END $$;

-- Where a dump is restored in another cluster, its subscribers and projections go on from the end
-- of the log that came with it: what they had read beyond were numbers without events.
CREATE FUNCTION object_store.carry_over() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last_xid xid8 := '0';
    last_seq bigint := 0;
BEGIN
    SELECT e.xid, e.seq INTO last_xid, last_seq FROM object_store.event e
    ORDER BY e.xid DESC, e.seq DESC LIMIT 1;
    UPDATE object_store.checkpoint c SET xid = last_xid, seq = last_seq
    WHERE (c.xid, c.seq) > (last_xid, last_seq);
    UPDATE object_store.checkpoint SET epoch = object_store.epoch();
    DELETE FROM object_store.snapshot s WHERE (s.xid, s.seq) > (last_xid, last_seq);
    UPDATE object_store.snapshot SET epoch = object_store.epoch();
    RETURN NULL;
END $$;
CREATE TRIGGER carry_over AFTER INSERT ON object_store.era
    FOR EACH ROW EXECUTE FUNCTION object_store.carry_over();

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['checkpoint', 'parked_event', 'snapshot'] LOOP
        EXECUTE format('ALTER TABLE object_store.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format($policy$
            CREATE POLICY own ON object_store.%I FOR SELECT TO object_store_user
                USING (username = current_user::text COLLATE "C")
            $policy$, t);
        EXECUTE format('GRANT SELECT ON object_store.%I TO object_store_user', t);
    END LOOP;
END $$;

ALTER TABLE object_store.intent ENABLE ROW LEVEL SECURITY;
CREATE POLICY startable ON object_store.intent FOR SELECT TO object_store_user
    USING (object_store.may_start(owner, created_by));
GRANT SELECT ON object_store.intent TO object_store_user;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA object_store FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    object_store.epoch, object_store.take_checkpoint, object_store.claim_checkpoint,
    object_store.move_checkpoint, object_store.release_checkpoint,
    object_store.forget_checkpoint, object_store.unpark, object_store.may_start,
    object_store.promise, object_store.claim_promises, object_store.settle_promise,
    object_store.save_snapshot, object_store.drop_snapshots
TO object_store_user;
