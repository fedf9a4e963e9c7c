-- Under which class an entity is stored is its owner's to say. Whoever else may write it could
-- otherwise take it out of the owner's queries of a type, and let another class read it. What an
-- administrator changes by hand is found by `verify`.
CREATE FUNCTION object_store.refuse_type_name() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_user = 'object_store_owner' AND session_user <> old.owner THEN
        RAISE EXCEPTION 'entity % is stored as %; only its owner, %, can store it as %',
            old.entity_id, old.type_name, old.owner, new.type_name
            USING ERRCODE = 'OS009', DETAIL = old.type_name;
    END IF;
    RETURN new;
END $$;

CREATE TRIGGER refuse_type_name BEFORE UPDATE OF type_name ON object_store.head
    FOR EACH ROW WHEN (old.type_name <> new.type_name)
    EXECUTE FUNCTION object_store.refuse_type_name();

REVOKE ALL ON FUNCTION object_store.refuse_type_name FROM PUBLIC;
