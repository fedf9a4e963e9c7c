-- Version 3 of the schema: present rows for each viewer, and no table that a user may read. With
-- writing.sql, looking.sql, conditions.sql, following.sql, proving.sql and sharing.sql.
--
-- Users read through functions alone, which find what they read by an index that begins with the
-- user's name. What belongs to others is never looked at, so that no plan, estimate, counter or
-- error message can tell of it: see decision 0090.

-- Nothing of the former functions and policies stays; the files that follow make all of them anew.
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN SELECT schemaname, tablename, policyname FROM pg_policies
        WHERE schemaname = 'object_store' LOOP
        EXECUTE format('DROP POLICY %I ON object_store.%I', made.policyname, made.tablename);
    END LOOP;
END $$;
DROP FUNCTION object_store.append, object_store.append_new, object_store.append_updates,
    object_store.append_many, object_store.locked_head, object_store.place, object_store.refuse,
    object_store.value_now, object_store.version_at, object_store.share, object_store.breaks,
    object_store.past_pieces, object_store.claim_checkpoint, object_store.promise;

-- The newest time that was given to a write, in microseconds since 1970. A sequence, since it is
-- read and moved outside of transactions: see decision 0091.
CREATE SEQUENCE object_store.clock MINVALUE 0 START 0;
SELECT setval('object_store.clock', (extract(epoch FROM
    coalesce((SELECT max(tx_time) FROM object_store.event), 'epoch')) * 1000000)::bigint);

-- How the hash of an event was made: 1 by the encoding of the writer's session, 2 by UTF-8.
ALTER TABLE object_store.event ADD COLUMN formula smallint NOT NULL DEFAULT 1;
ALTER TABLE object_store.event ALTER COLUMN formula DROP DEFAULT;
DROP INDEX object_store.event_by_position, object_store.event_by_time,
    object_store.event_by_tx_time, object_store.event_by_id;
CREATE INDEX event_by_owner ON object_store.event (owner, xid, seq);
CREATE UNIQUE INDEX event_by_id ON object_store.event (updated_by, event_id)
    WHERE event_id IS NOT NULL;

ALTER TABLE object_store.acl RENAME TO old_acl;
CREATE TABLE object_store.acl (
    grantee     text COLLATE "C" NOT NULL,
    entity_id   uuid NOT NULL,
    owner       text COLLATE "C" NOT NULL,
    can_read    boolean NOT NULL,
    can_write   boolean NOT NULL,
    -- Of the entity's newest version: what was not written since a position is not looked at.
    xid         xid8 NOT NULL
) WITH (fillfactor = 80);
INSERT INTO object_store.acl
SELECT a.grantee, a.entity_id, a.owner, a.can_read, a.can_write, h.xid
FROM object_store.old_acl a JOIN object_store.head h ON h.entity_id = a.entity_id;

ALTER TABLE object_store.head RENAME TO old_head;
CREATE TABLE object_store.head (
    owner       text COLLATE "C" NOT NULL,
    entity_id   uuid NOT NULL,
    type_name   text COLLATE "C" NOT NULL,
    version     integer NOT NULL,
    xid         xid8 NOT NULL,
    tx_time     timestamptz NOT NULL,
    hash        bytea NOT NULL,
    -- Does it have grantees?
    is_shared   boolean NOT NULL,
    -- Where the newest version is all that holds now and later, for ever: since when. Else null.
    plain_from  timestamptz
) WITH (fillfactor = 70);
INSERT INTO object_store.head
SELECT h.owner, h.entity_id, h.type_name, h.version, h.xid, h.tx_time, h.hash,
    EXISTS (SELECT FROM object_store.old_acl a WHERE a.entity_id = h.entity_id),
    (SELECT min(s.valid_from) FROM object_store.seg s WHERE s.entity_id = h.entity_id
     HAVING count(*) = 1 AND min(s.version) = h.version AND min(s.valid_to) = 'infinity')
FROM object_store.old_head h ORDER BY h.owner, h.entity_id;

CREATE TABLE object_store.field_index AS
SELECT indexname AS name,
    replace(indexdef, 'USING btree (', 'USING btree (viewer, ') AS definition
FROM pg_indexes
WHERE schemaname = 'object_store' AND tablename = 'seg' AND indexname LIKE 'seg\_by\_field\_%';

ALTER TABLE object_store.seg RENAME TO old_seg;
-- A copy for everybody who may see the entity: its owner, and its grantees.
CREATE TABLE object_store.seg (
    viewer      text COLLATE "C" NOT NULL,
    entity_id   uuid NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz NOT NULL,
    version     integer NOT NULL,
    event_type  text COLLATE "C" NOT NULL,
    type_name   text COLLATE "C" NOT NULL,
    owner       text COLLATE "C" NOT NULL,
    updated_by  text COLLATE "C" NOT NULL,
    tx_time     timestamptz NOT NULL,
    state       text COLLATE "C",
    data        jsonb NOT NULL,
    -- The period of the whole event, of which this may be a part.
    event_from  timestamptz NOT NULL,
    event_to    timestamptz NOT NULL,
    -- The newest version of the entity.
    newest      integer NOT NULL
) WITH (fillfactor = 80);
INSERT INTO object_store.seg
SELECT v.viewer, s.entity_id, s.valid_from, s.valid_to, s.version, s.event_type, s.type_name,
    s.owner, s.updated_by, s.tx_time, s.state, s.data, s.event_from, s.event_to, h.version
FROM object_store.old_seg s
JOIN object_store.old_head h ON h.entity_id = s.entity_id
CROSS JOIN LATERAL (
    SELECT s.owner AS viewer
    UNION ALL
    SELECT a.grantee FROM object_store.old_acl a WHERE a.entity_id = s.entity_id) v
ORDER BY v.viewer, s.entity_id, s.valid_to;

DROP TABLE object_store.old_acl, object_store.old_head, object_store.old_seg;
ALTER TABLE object_store.acl ADD PRIMARY KEY (grantee, entity_id);
CREATE INDEX acl_by_entity ON object_store.acl (entity_id);
CREATE INDEX acl_by_xid ON object_store.acl (grantee, xid);
-- That no two owners have one entity, the key of `event` sees to.
ALTER TABLE object_store.head ADD PRIMARY KEY (owner, entity_id);
ALTER TABLE object_store.seg ADD PRIMARY KEY (viewer, entity_id, valid_to);
CREATE INDEX seg_by_type ON object_store.seg (viewer, type_name, entity_id);

-- Who wants nothing shared by a user, or not this entity.
CREATE TABLE object_store.refusal (
    grantee     text COLLATE "C" NOT NULL,
    owner       text COLLATE "C" NOT NULL,
    -- Null for all of the owner's.
    entity_id   uuid,
    refused_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE NULLS NOT DISTINCT (grantee, owner, entity_id)
);

-- Statistics of values would show in plans: of hidden rows, too. A name tells how many rows there
-- are to be seen, and nothing else does.
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN
        SELECT t.relname, a.attname FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid
        WHERE t.relnamespace = 'object_store'::regnamespace AND t.relkind = 'r' AND a.attnum > 0
            AND NOT a.attisdropped
            AND a.attname NOT IN ('viewer', 'owner', 'grantee', 'username')
    LOOP
        EXECUTE format('ALTER TABLE object_store.%I ALTER COLUMN %I SET STATISTICS 0',
            c.relname, c.attname);
    END LOOP;
    FOR c IN SELECT name, definition FROM object_store.field_index LOOP
        EXECUTE c.definition;
        EXECUTE format('ALTER INDEX object_store.%I ALTER COLUMN 2 SET STATISTICS 0', c.name);
    END LOOP;
END $$;
DROP TABLE object_store.field_index;

-- Who has no right needs no policy, which would cost each statement. They stay enabled: a right
-- that is given by mistake shows nothing.
REVOKE ALL ON ALL TABLES IN SCHEMA object_store FROM object_store_user;
ALTER TABLE object_store.head ENABLE ROW LEVEL SECURITY;
ALTER TABLE object_store.seg ENABLE ROW LEVEL SECURITY;
ALTER TABLE object_store.acl ENABLE ROW LEVEL SECURITY;
ALTER TABLE object_store.past ENABLE ROW LEVEL SECURITY;
ALTER TABLE object_store.refusal ENABLE ROW LEVEL SECURITY;

-- Now, by the store's clock: never before the time of anything that was written.
CREATE FUNCTION object_store.store_time() RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN greatest(clock_timestamp(), 'epoch'::timestamptz
        + pg_sequence_last_value('object_store.clock') * interval '1 microsecond');
END $$;
