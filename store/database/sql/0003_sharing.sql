-- Sharing, and refusing what others share. Whoever may see an entity has a copy of its present.

-- Bring the copies of an entity's present for a user in line with their right to it.
CREATE FUNCTION object_store.copy_present(h object_store.head, p_user text, p_may_see boolean)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM object_store.seg WHERE seg.viewer = p_user AND seg.entity_id = h.entity_id;
    IF p_may_see THEN
        INSERT INTO object_store.seg
        SELECT p_user, s.entity_id, s.valid_from, s.valid_to, s.version, s.event_type, s.type_name,
            s.owner, s.updated_by, s.tx_time, s.state, s.data, s.event_from, s.event_to, s.newest
        FROM object_store.seg s WHERE s.viewer = h.owner AND s.entity_id = h.entity_id;
    END IF;
    UPDATE object_store.head SET is_shared = EXISTS (
        SELECT FROM object_store.acl a WHERE a.entity_id = h.entity_id)
    WHERE head.owner = h.owner AND head.entity_id = h.entity_id;
END $$;

-- Keep others from sharing with a user (`p_alone`), or the user from refusing, until the end of the
-- transaction: by a row of the user's own, which refuses nothing.
CREATE FUNCTION object_store.lock_refusals(p_user text, p_alone boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO object_store.refusal VALUES (p_user, p_user, NULL) ON CONFLICT DO NOTHING;
    IF p_alone THEN
        PERFORM FROM object_store.refusal r WHERE r.grantee = p_user AND r.owner = p_user
        FOR UPDATE;
    ELSE
        PERFORM FROM object_store.refusal r WHERE r.grantee = p_user AND r.owner = p_user
        FOR KEY SHARE;
    END IF;
END $$;

-- Give or take a right on an entity of one's own; did anything change?
CREATE FUNCTION object_store.share(p_entity_id uuid, p_user text, p_read boolean, p_write boolean)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
DECLARE
    h object_store.head;
    before object_store.acl;
BEGIN
    PERFORM FROM object_store.head t WHERE t.owner = session_user AND t.entity_id = p_entity_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no entity % of your own, %', p_entity_id, session_user
            USING ERRCODE = 'OS002';
    END IF;
    IF p_user = session_user THEN
        RAISE EXCEPTION 'entity % is your own, %', p_entity_id, session_user
            USING ERRCODE = '22023';
    END IF;
    IF coalesce(p_read OR p_write, false) THEN
        IF NOT EXISTS (
            SELECT FROM pg_auth_members m
            JOIN pg_roles member ON member.oid = m.member
            JOIN pg_roles users ON users.oid = m.roleid
            WHERE member.rolname = p_user AND users.rolname = 'object_store_user') THEN
            RAISE EXCEPTION 'no user % of the store', p_user USING ERRCODE = '22023';
        END IF;
        PERFORM object_store.lock_refusals(p_user, false);
    END IF;
    -- Locked, so that two sessions that share it do not mix, nor one that writes it.
    SELECT * INTO h FROM object_store.head t
    WHERE t.owner = session_user AND t.entity_id = p_entity_id FOR UPDATE;
    SELECT * INTO before FROM object_store.acl a
    WHERE a.entity_id = p_entity_id AND a.grantee = p_user;
    p_read := coalesce(p_read, before.can_read, false);
    p_write := coalesce(p_write, before.can_write, false);
    IF p_read = coalesce(before.can_read, false) AND p_write = coalesce(before.can_write, false)
    THEN
        RETURN false;
    END IF;
    IF p_read OR p_write THEN
        IF before.entity_id IS NULL AND EXISTS (
            SELECT FROM object_store.refusal r
            WHERE r.grantee = p_user AND r.owner = session_user
                AND (r.entity_id IS NULL OR r.entity_id = p_entity_id)) THEN
            RAISE EXCEPTION '% refuses what % shares; ask % to accept it first', p_user,
                session_user, p_user USING ERRCODE = '42501';
        END IF;
        INSERT INTO object_store.acl
        VALUES (p_user, p_entity_id, session_user, p_read, p_write, h.xid)
        ON CONFLICT (grantee, entity_id)
        DO UPDATE SET can_read = excluded.can_read, can_write = excluded.can_write;
    ELSE
        DELETE FROM object_store.acl a WHERE a.entity_id = p_entity_id AND a.grantee = p_user;
    END IF;
    PERFORM object_store.copy_present(h, p_user, p_read OR p_write);
    RETURN true;
END $$;

-- Who may read and write an entity, as far as the user may know: all of one's own entities.
CREATE FUNCTION object_store.shared_with(p_entity_id uuid)
RETURNS TABLE (grantee text, can_read boolean, can_write boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
BEGIN
    IF object_store.owner_of(p_entity_id) = session_user THEN
        RETURN QUERY SELECT a.grantee, a.can_read, a.can_write FROM object_store.acl a
        WHERE a.entity_id = p_entity_id ORDER BY 1;
    ELSE
        RETURN QUERY SELECT a.grantee, a.can_read, a.can_write FROM object_store.acl a
        WHERE a.grantee = session_user AND a.entity_id = p_entity_id;
    END IF;
END $$;

-- The entities that others share with the user.
CREATE FUNCTION object_store.shared_entities()
RETURNS TABLE (entity_id uuid, owner text, can_write boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY SELECT a.entity_id, a.owner, a.can_write FROM object_store.acl a
    WHERE a.grantee = session_user;
END $$;

-- Want nothing of a user's, or an entity not; what is shared already is given back. How many
-- entities were. They cannot be shared again until they are accepted.
CREATE FUNCTION object_store.refuse_sharing(p_owner text, p_entity_id uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
DECLARE
    h object_store.head;
    v_owner text COLLATE "C" := p_owner;
    result bigint := 0;
BEGIN
    IF p_entity_id IS NOT NULL THEN
        SELECT a.owner INTO v_owner FROM object_store.acl a
        WHERE a.grantee = session_user AND a.entity_id = p_entity_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'entity % is not shared with %', p_entity_id, session_user
                USING ERRCODE = 'OS002';
        END IF;
    ELSIF p_owner IS NULL OR p_owner = session_user OR length(p_owner) > 63 THEN
        RAISE EXCEPTION 'no other user: %', left(p_owner, 63) USING ERRCODE = '22023';
    END IF;
    PERFORM object_store.lock_refusals(session_user, true);
    INSERT INTO object_store.refusal VALUES (session_user, v_owner, p_entity_id)
    ON CONFLICT DO NOTHING;
    -- In one order, so that two who lock several cannot wait for each other.
    FOR h IN
        SELECT t.* FROM object_store.acl a
        JOIN object_store.head t ON t.owner = a.owner AND t.entity_id = a.entity_id
        WHERE a.grantee = session_user AND a.owner = v_owner
            AND (p_entity_id IS NULL OR a.entity_id = p_entity_id)
        ORDER BY t.entity_id FOR UPDATE OF t
    LOOP
        DELETE FROM object_store.acl a
        WHERE a.grantee = session_user AND a.entity_id = h.entity_id;
        PERFORM object_store.copy_present(h, session_user, false);
        result := result + 1;
    END LOOP;
    RETURN result;
END $$;

-- Let a user share again, everything or one entity; was it refused?
CREATE FUNCTION object_store.accept_sharing(p_owner text, p_entity_id uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM object_store.refusal r
    WHERE r.grantee = session_user AND CASE WHEN p_entity_id IS NULL
        THEN r.owner = p_owner AND r.entity_id IS NULL ELSE r.entity_id = p_entity_id END;
    RETURN FOUND;
END $$;

-- What the user refuses: owners, and single entities of theirs.
CREATE FUNCTION object_store.refused() RETURNS TABLE (owner text, entity_id uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_indexscan = on SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY SELECT r.owner, r.entity_id FROM object_store.refusal r
    WHERE r.grantee = session_user AND r.owner <> session_user ORDER BY 1, 2 NULLS FIRST;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA object_store FROM PUBLIC, object_store_user;
GRANT EXECUTE ON FUNCTION
    -- writing
    object_store.append, object_store.append_new, object_store.append_many,
    -- reading
    object_store.store_time, object_store.value_now, object_store.value_at,
    object_store.settle_time, object_store.versions, object_store.written_as,
    object_store.type_names, object_store.present, object_store.count_present,
    object_store.visible_entities, object_store.verify, object_store.orphans,
    -- the log
    object_store.epoch, object_store.log_xid, object_store.lift, object_store.fence,
    object_store.log_page, object_store.position_at, object_store.lag,
    object_store.beyond_fence, object_store.segments, object_store.open_segments,
    object_store.newest_versions,
    -- subscriptions and projections
    object_store.own_checkpoint, object_store.take_checkpoint, object_store.claim_checkpoint,
    object_store.move_checkpoint, object_store.release_checkpoint,
    object_store.forget_checkpoint, object_store.checkpoints, object_store.parked_events,
    object_store.unpark, object_store.newest_snapshot, object_store.save_snapshot,
    object_store.drop_snapshots,
    -- workflows
    object_store.promise, object_store.pending_promises, object_store.is_starting,
    object_store.claim_promises, object_store.settle_promise,
    -- sharing
    object_store.share, object_store.shared_with, object_store.shared_entities,
    object_store.refuse_sharing, object_store.accept_sharing, object_store.refused
TO object_store_user;
