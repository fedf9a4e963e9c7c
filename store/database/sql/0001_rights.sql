-- Who may see, share and call what. This file comes last: it gives rights on all of the others.

-- Give or take a right on an entity of one's own; did anything change?
CREATE FUNCTION object_store.share(p_entity_id uuid, p_user text, p_read boolean, p_write boolean)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before object_store.acl;
BEGIN
    -- Locked, so that two sessions that share it do not mix.
    PERFORM FROM object_store.head h
    WHERE h.entity_id = p_entity_id AND h.owner = session_user FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no entity % of your own, %', p_entity_id, session_user
            USING ERRCODE = 'OS002';
    END IF;
    IF p_user = session_user THEN
        RAISE EXCEPTION 'entity % is your own, %', p_entity_id, session_user
            USING ERRCODE = '22023';
    END IF;
    SELECT * INTO before FROM object_store.acl a
    WHERE a.entity_id = p_entity_id AND a.grantee = p_user;
    IF coalesce(p_read OR p_write, false) AND NOT EXISTS (
        SELECT FROM pg_auth_members m
        JOIN pg_roles member ON member.oid = m.member
        JOIN pg_roles users ON users.oid = m.roleid
        WHERE member.rolname = p_user AND users.rolname = 'object_store_user') THEN
        RAISE EXCEPTION 'no user % of the store', p_user USING ERRCODE = '22023';
    END IF;
    p_read := coalesce(p_read, before.can_read, false);
    p_write := coalesce(p_write, before.can_write, false);
    IF p_read = coalesce(before.can_read, false) AND p_write = coalesce(before.can_write, false)
    THEN
        RETURN false;
    END IF;
    IF p_read OR p_write THEN
        INSERT INTO object_store.acl VALUES (p_entity_id, p_user, session_user, p_read, p_write)
        ON CONFLICT (grantee, entity_id)
        DO UPDATE SET can_read = excluded.can_read, can_write = excluded.can_write;
    ELSE
        DELETE FROM object_store.acl a WHERE a.entity_id = p_entity_id AND a.grantee = p_user;
    END IF;
    RETURN true;
END $$;

-- Who may do what. Tables are read under row-level security and never written directly.
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['event', 'head', 'seg'] LOOP
        EXECUTE format('ALTER TABLE object_store.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format($policy$
            CREATE POLICY visible ON object_store.%1$I FOR SELECT TO object_store_user USING (
                owner = current_user::text COLLATE "C" OR EXISTS (
                    SELECT FROM object_store.acl a WHERE a.entity_id = %1$I.entity_id
                        AND a.grantee = current_user::text COLLATE "C"))
            $policy$, t);
        EXECUTE format('GRANT SELECT ON object_store.%I TO object_store_user', t);
    END LOOP;
END $$;
ALTER TABLE object_store.acl ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_or_given ON object_store.acl FOR SELECT TO object_store_user USING (
    owner = current_user::text COLLATE "C" OR grantee = current_user::text COLLATE "C");
GRANT SELECT ON object_store.acl TO object_store_user;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA object_store FROM PUBLIC;
GRANT USAGE ON SCHEMA object_store TO object_store_user;
GRANT EXECUTE ON FUNCTION
    object_store.append, object_store.append_new, object_store.append_many,
    object_store.value_now, object_store.version_at, object_store.share, object_store.breaks,
    object_store.chained, object_store.union_of, object_store.past_pieces, object_store.log_xid,
    object_store.lift, object_store.fence
TO object_store_user;
DO $$
DECLARE
    accessor regprocedure;
BEGIN
    FOR accessor IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'object_store'::regnamespace AND proname LIKE 'json\_%'
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO object_store_user', accessor);
    END LOOP;
END $$;
