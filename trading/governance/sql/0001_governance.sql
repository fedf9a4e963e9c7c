-- Who may do what to governed changes and requests, kept by the database itself: every event of a
-- governed type goes through a trigger, whoever writes it and by what program.

-- Duties of people on accounts; the account * stands for all of them.
CREATE TABLE trading_governance.duty (
    person     text COLLATE "C" NOT NULL,
    account    text COLLATE "C" NOT NULL,
    duty       text COLLATE "C" NOT NULL,
    granted_by text COLLATE "C" NOT NULL DEFAULT session_user,
    granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (person, account, duty)
);
ALTER TABLE trading_governance.duty ENABLE ROW LEVEL SECURITY;

-- The ways that an entity of a governed type may go; its first event comes from the state ''.
-- bootstrap_governance fills this from the state machines of trading.governance.
CREATE TABLE trading_governance.edge (
    type_name    text COLLATE "C" NOT NULL,
    from_state   text COLLATE "C" NOT NULL,
    to_state     text COLLATE "C" NOT NULL,
    -- Of requests: for which action. Empty for any.
    action       text COLLATE "C" NOT NULL,
    -- What who does it must have on the account; empty for any duty at all.
    duty         text COLLATE "C" NOT NULL,
    -- CREATOR: who wrote the entity. OTHER: anybody else. Empty: both.
    who          text COLLATE "C" NOT NULL CHECK (who IN ('', 'CREATOR', 'OTHER')),
    -- The field that must hold the name of who does it.
    signs        text COLLATE "C" NOT NULL,
    needs_reason boolean NOT NULL,
    needs_review boolean NOT NULL,
    -- Only before the time in this field, or only from it on. A missing time is long past.
    before_field text COLLATE "C" NOT NULL,
    after_field  text COLLATE "C" NOT NULL,
    PRIMARY KEY (type_name, from_state, to_state, action)
);
ALTER TABLE trading_governance.edge ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION trading_governance.has_duty(p_person text, p_account text, p_duty text)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM trading_governance.duty d
        WHERE d.person = p_person AND d.account IN (p_account, '*') AND p_duty IN ('', d.duty))
$$;

-- Everybody with a duty on an account, for those who have one there themselves.
CREATE FUNCTION trading_governance.people(p_account text)
RETURNS TABLE (person text, duty text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT d.person, d.duty FROM trading_governance.duty d
    WHERE d.account IN (p_account, '*')
        AND trading_governance.has_duty(session_user, p_account, '')
    ORDER BY 1, 2
$$;

CREATE FUNCTION trading_governance.refuse(p_why text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%', p_why USING ERRCODE = '42501';
END $$;

-- Refuse what an edge does not allow. Runs as the tables' owner, inside of the store's functions.
CREATE FUNCTION trading_governance.check_event() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me CONSTANT text COLLATE "C" := session_user;
    v_account CONSTANT text := coalesce(NEW.data->>'account', '');
    what CONSTANT text := substring(NEW.type_name FROM '[^.]*$') || ' ' || NEW.entity_id;
    before object_store.event;
    e trading_governance.edge;
    may_change text[] := ARRAY['decision_reason', 'review_id', 'review_outcome', 'outcome_code',
        'outcome_text'];
    v_person text;
    v_can_write boolean;
BEGIN
    IF NEW.version > 1 THEN
        SELECT * INTO before FROM object_store.event o
        WHERE o.entity_id = NEW.entity_id AND o.version = NEW.version - 1;
    END IF;
    IF NEW.valid_from <> NEW.tx_time OR NEW.valid_to <> 'infinity' THEN
        PERFORM trading_governance.refuse(what || ' holds from when it is written, for ever; '
            'write it without valid_from and valid_to');
    END IF;
    IF NEW.event_type NOT IN ('CREATED', 'STATE_CHANGE')
        OR before.type_name <> NEW.type_name THEN
        PERFORM trading_governance.refuse(what || ' only goes from state to state; it is neither '
            'updated nor deleted');
    END IF;
    SELECT * INTO e FROM trading_governance.edge t
    WHERE t.type_name = NEW.type_name AND t.from_state = coalesce(before.state, '')
        AND t.to_state = coalesce(NEW.state, '')
        AND t.action IN ('', coalesce(NEW.data->>'control_action', ''));
    IF NOT FOUND THEN
        PERFORM trading_governance.refuse(format('%s cannot go from %s to %s', what,
            coalesce(before.state, 'nothing'), coalesce(NEW.state, 'no state')));
    END IF;
    IF NOT trading_governance.has_duty(me, v_account, e.duty) THEN
        PERFORM trading_governance.refuse(format('%s of account %s to %s: %s has not the duty %s '
            'there', what, v_account, NEW.state, me, coalesce(nullif(e.duty, ''), 'of anything')));
    END IF;
    IF e.who = 'CREATOR' AND NEW.owner <> me THEN
        PERFORM trading_governance.refuse(format('%s to %s: only %s, who asked for it, may do '
            'this', what, NEW.state, NEW.owner));
    ELSIF e.who = 'OTHER' AND NEW.owner = me THEN
        PERFORM trading_governance.refuse(format('%s to %s: %s asked for it, and another person '
            'must do this', what, NEW.state, me));
    END IF;
    IF e.signs <> '' THEN
        may_change := may_change || e.signs;
        IF NEW.data->>e.signs IS DISTINCT FROM me THEN
            PERFORM trading_governance.refuse(format('%s to %s: %s must be %s, who does it', what,
                NEW.state, e.signs, me));
        END IF;
    END IF;
    IF NEW.version > 1 AND NEW.data - may_change <> before.data - may_change THEN
        PERFORM trading_governance.refuse(what || ' says something else than what was asked for; '
            'ask for another change');
    END IF;
    IF e.needs_reason AND btrim(coalesce(NEW.data->>'decision_reason', '')) = '' THEN
        PERFORM trading_governance.refuse(format('%s to %s needs a decision_reason', what,
            NEW.state));
    END IF;
    IF e.needs_review AND NOT EXISTS (
        SELECT FROM object_store.event r
        WHERE r.entity_id = CASE WHEN NEW.data->>'review_id' ~ '^[0-9a-f-]{36}$'
                THEN (NEW.data->>'review_id')::uuid END
            AND r.version = 1 AND r.owner = me
            AND r.type_name = 'trading.governance.entities.EmergencyReview'
            AND r.data->>'change_id' = NEW.entity_id::text AND r.data->>'account' = v_account) THEN
        PERFORM trading_governance.refuse(format('%s to %s needs a review of %s''s own, which '
            'review_id names', what, NEW.state, me));
    END IF;
    IF e.before_field <> '' AND clock_timestamp() >= coalesce(
        (NEW.data->>e.before_field)::timestamptz, '-infinity') THEN
        PERFORM trading_governance.refuse(format('%s to %s: too late, %s was %s', what, NEW.state,
            e.before_field, coalesce(NEW.data->>e.before_field, 'not given')));
    END IF;
    IF e.after_field <> '' AND clock_timestamp() < coalesce(
        (NEW.data->>e.after_field)::timestamptz, '-infinity') THEN
        PERFORM trading_governance.refuse(format('%s to %s: too early, %s is %s', what, NEW.state,
            e.after_field, NEW.data->>e.after_field));
    END IF;
    IF NEW.version = 1 THEN
        -- Whoever has to do with the account sees it, whether or not who asks wants that.
        FOR v_person, v_can_write IN
            SELECT d.person, bool_or(d.duty <> 'READ') FROM trading_governance.duty d
            WHERE d.account IN (v_account, '*') AND d.person <> me GROUP BY 1 ORDER BY 1
        LOOP
            BEGIN
                PERFORM object_store.share(NEW.entity_id, v_person, true, v_can_write);
            EXCEPTION WHEN insufficient_privilege OR invalid_parameter_value THEN
                -- They refuse what this one shares, or are no users any more.
                NULL;
            END;
        END LOOP;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER governed AFTER INSERT ON object_store.event
FOR EACH ROW WHEN (starts_with(NEW.type_name, 'trading.governance.'))
EXECUTE FUNCTION trading_governance.check_event();

-- An entity of a governed type stays one.
CREATE FUNCTION trading_governance.keep_type() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM trading_governance.refuse(format('entity %s is a %s and stays one', OLD.entity_id,
        OLD.type_name));
    RETURN NULL;
END $$;
CREATE TRIGGER governed BEFORE UPDATE OF type_name ON object_store.head
FOR EACH ROW WHEN (
    starts_with(OLD.type_name, 'trading.governance.') AND NEW.type_name <> OLD.type_name)
EXECUTE FUNCTION trading_governance.keep_type();

-- Nobody hides what governs an account from those who have to do with it.
CREATE FUNCTION trading_governance.keep_shared() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_account text;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.can_read >= OLD.can_read AND NEW.can_write >= OLD.can_write THEN
        RETURN NEW;
    END IF;
    SELECT e.data->>'account' INTO v_account FROM object_store.event e
    WHERE e.entity_id = OLD.entity_id AND e.version = 1
        AND starts_with(e.type_name, 'trading.governance.');
    IF FOUND AND session_user <> OLD.grantee
        AND trading_governance.has_duty(OLD.grantee, v_account, '') THEN
        PERFORM trading_governance.refuse(format('%s has a duty on account %s and goes on seeing '
            'entity %s', OLD.grantee, v_account, OLD.entity_id));
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER governed BEFORE DELETE OR UPDATE OF can_read, can_write ON object_store.acl
FOR EACH ROW EXECUTE FUNCTION trading_governance.keep_shared();

-- Show a person with a new duty what was written for the account before. For administrators.
CREATE FUNCTION trading_governance.show_existing(p_person text, p_account text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_head object_store.head;
    v_can_write boolean;
BEGIN
    SELECT bool_or(d.duty <> 'READ') INTO v_can_write FROM trading_governance.duty d
    WHERE d.person = p_person AND d.account = p_account;
    FOR v_head IN
        SELECT h.* FROM object_store.head h
        JOIN object_store.event e ON e.entity_id = h.entity_id AND e.version = 1
        WHERE h.owner IN (SELECT DISTINCT d.person FROM trading_governance.duty d)
            AND h.owner <> p_person
            AND h.type_name IN (SELECT DISTINCT t.type_name FROM trading_governance.edge t)
            AND (p_account = '*' OR e.data->>'account' = p_account)
            AND NOT EXISTS (
                SELECT FROM object_store.refusal r
                WHERE r.grantee = p_person AND r.owner = h.owner
                    AND (r.entity_id IS NULL OR r.entity_id = h.entity_id))
        ORDER BY h.entity_id FOR UPDATE OF h
    LOOP
        INSERT INTO object_store.acl AS a
        VALUES (p_person, v_head.entity_id, v_head.owner, true, v_can_write, v_head.xid)
        ON CONFLICT (grantee, entity_id) DO UPDATE
        SET can_read = true, can_write = a.can_write OR excluded.can_write;
        PERFORM object_store.copy_present(v_head, p_person, true);
    END LOOP;
END $$;

-- What an engine of an account has to follow, in order: changes that are in force or due by the
-- database's clock, and requests for this run. The decision is the version that puts it in force.
CREATE FUNCTION trading_governance.to_follow(p_account text, p_run text)
RETURNS TABLE (
    entity_id text, type_name text, version integer, state text, requested_by text,
    requested_at timestamptz, decided_version integer, decided_state text, decided_by text,
    effective_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.entity_id::text, s.type_name, s.version, s.state, s.owner, first.tx_time, d.version,
        d.state, d.updated_by, CASE d.state WHEN 'APPROVED'
            THEN greatest(d.tx_time, (s.data->>'effective_from')::timestamptz) ELSE d.tx_time END
    FROM object_store.seg s
    JOIN object_store.event first ON first.entity_id = s.entity_id AND first.version = 1
    JOIN LATERAL (
        SELECT * FROM object_store.event e
        WHERE e.entity_id = s.entity_id AND e.state IN ('APPROVED', 'EMERGENCY', 'REQUESTED')
        ORDER BY e.version DESC LIMIT 1) d ON true
    WHERE s.viewer = session_user AND s.valid_to = 'infinity'
        AND s.type_name IN ('trading.governance.entities.LimitsChange',
            'trading.governance.entities.ParametersChange',
            'trading.governance.entities.ControlRequest')
        AND s.data->>'account' = p_account
        AND s.state IN ('APPROVED', 'EMERGENCY', 'EFFECTIVE', 'REQUESTED')
        AND (s.state <> 'REQUESTED' OR s.data->>'run' = p_run)
        AND (s.state <> 'APPROVED' OR coalesce((s.data->>'effective_from')::timestamptz,
            '-infinity') <= clock_timestamp())
    ORDER BY 10, 1
$$;

-- Changes that wait for an approval, among those that the user sees.
CREATE FUNCTION trading_governance.waiting()
RETURNS TABLE (entity_id text, type_name text, approve_by timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.entity_id::text, s.type_name, (s.data->>'approve_by')::timestamptz
    FROM object_store.seg s
    WHERE s.viewer = session_user AND s.valid_to = 'infinity' AND s.state = 'PROPOSED'
        AND s.type_name IN ('trading.governance.entities.LimitsChange',
            'trading.governance.entities.ParametersChange')
    ORDER BY 3, 1
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA trading_governance FROM PUBLIC;
GRANT USAGE ON SCHEMA trading_governance TO object_store_user;
GRANT EXECUTE ON FUNCTION trading_governance.people, trading_governance.to_follow,
    trading_governance.waiting
TO object_store_user;
