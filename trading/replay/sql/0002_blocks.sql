-- Sums over closed stretches of the log, so that a question about P&L reads few executions.
--
-- A block is a stretch of transactions that have all ended, about 4,096 versions of executions long:
-- nothing is ever added to it. Its cells have what these transactions changed in each book, by
-- quarters of an hour of execution: a version counts from when it is known, and no more once the
-- next one is. What a question needs besides the cells is read row by row: blocks that were known in
-- part by then, what came after the last block, and the quarter of an hour of the valid time.

ALTER TABLE trading_books.fill
    -- The numbers of the transactions that wrote this version and the next one.
    ADD COLUMN xid bigint,
    ADD COLUMN ended_xid bigint;
DELETE FROM trading_books.fill;
ALTER TABLE trading_books.fill
    ALTER COLUMN xid SET NOT NULL,
    -- No sum survives what is not a number.
    ADD CHECK (abs(quantity) < 'infinity'), ADD CHECK (abs(price) < 'infinity'),
    ADD CHECK (abs(fees) < 'infinity'),
    ADD CHECK (executed >= '0001-01-01 00:00Z' AND executed < '9999-12-31 00:00Z');
-- Versions come in about the order in which they become known: ranges of pages are enough.
DROP INDEX trading_books.fill_by_time;
CREATE INDEX fill_by_time ON trading_books.fill USING brin (known_from)
    WITH (pages_per_range = 16);
CREATE INDEX fill_by_xid ON trading_books.fill (xid);
CREATE INDEX fill_by_end ON trading_books.fill (ended_xid) WHERE ended_xid IS NOT NULL;
CREATE INDEX fill_corrected ON trading_books.fill (book, executed) WHERE status = 'CORRECTED';

-- The transactions from `from_xid` up to, not including `until_xid`; what they changed became known
-- from `known_from` to `known_until`.
CREATE TABLE trading_books.block (
    until_xid   bigint PRIMARY KEY,
    from_xid    bigint NOT NULL UNIQUE,
    known_from  timestamptz NOT NULL,
    known_until timestamptz NOT NULL
);

CREATE TABLE trading_books.cell (
    book        integer NOT NULL REFERENCES trading_books.book,
    block       bigint NOT NULL REFERENCES trading_books.block,
    -- When the quarter of an hour of the executions begins.
    quarter     timestamptz NOT NULL,
    quantity    numeric,
    amount      numeric,
    fees        numeric,
    fills       bigint NOT NULL,
    PRIMARY KEY (book, block, quarter)
);

CREATE SEQUENCE trading_books.versions;

-- A version of a split: `ratio_new` shares for every `ratio_old` held from `split_at` on.
CREATE TABLE trading_books.split (
    entity_id   uuid NOT NULL,
    version     integer NOT NULL,
    owner       text COLLATE "C" NOT NULL,
    symbol      text COLLATE "C" NOT NULL,
    split_at    timestamptz NOT NULL,
    ratio_new   integer NOT NULL CHECK (ratio_new > 0),
    ratio_old   integer NOT NULL CHECK (ratio_old > 0),
    known_from  timestamptz NOT NULL,
    known_to    timestamptz NOT NULL DEFAULT 'infinity',
    updated_by  text COLLATE "C" NOT NULL,
    PRIMARY KEY (entity_id, version)
);

CREATE FUNCTION trading_books.quarter_of(p_time timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT date_bin('15 minutes', p_time, '2000-01-01 00:00Z')
$$;

CREATE OR REPLACE FUNCTION trading_books.take(e object_store.event) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    d CONSTANT jsonb := e.data;
    own_xid CONSTANT bigint := e.xid::text::bigint;
    is_fill CONSTANT boolean := e.type_name = 'trading.engine.records.FillRecord';
    is_split CONSTANT boolean := e.type_name = 'trading.instruments.Split';
    sign integer;
    in_book integer;
BEGIN
    IF e.version > 1 AND is_fill THEN
        UPDATE trading_books.fill f SET known_to = e.tx_time, ended_xid = own_xid
        WHERE f.entity_id = e.entity_id AND f.version = e.version - 1;
    ELSIF e.version > 1 AND is_split THEN
        UPDATE trading_books.split s SET known_to = e.tx_time
        WHERE s.entity_id = e.entity_id AND s.version = e.version - 1;
    ELSIF e.version > 1 THEN
        UPDATE trading_books.income i SET known_to = e.tx_time
        WHERE i.entity_id = e.entity_id AND i.version = e.version - 1;
    END IF;
    IF e.event_type = 'DELETED' THEN
        RETURN;
    END IF;
    BEGIN
        IF is_split THEN
            INSERT INTO trading_books.split VALUES (
                e.entity_id, e.version, e.owner, d->>'symbol', (d->>'timestamp')::timestamptz,
                (d->>'ratio_new')::integer, (d->>'ratio_old')::integer, e.tx_time, 'infinity',
                e.updated_by);
            RETURN;
        ELSIF NOT is_fill THEN
            INSERT INTO trading_books.income
            SELECT e.entity_id, e.version, e.owner, d->>'account', d->>'run', d->>'cash_subject',
                d->>'cash_reason', (d->>'amount')::numeric, e.tx_time, 'infinity', e.valid_from,
                e.updated_by
            WHERE d->>'cash_reason' IN ('DIVIDEND', 'LIEU');
            RETURN;
        END IF;
        SELECT id INTO in_book FROM trading_books.book b
        WHERE b.owner = e.owner AND b.account = d->>'account' AND b.run = d->>'run'
            AND b.strategy = d->>'strategy' AND b.symbol = d->>'symbol';
        IF NOT FOUND THEN
            INSERT INTO trading_books.book (owner, account, run, strategy, symbol) VALUES (
                e.owner, d->>'account', d->>'run', d->>'strategy', d->>'symbol')
            ON CONFLICT (owner, account, run, strategy, symbol)
                DO UPDATE SET owner = excluded.owner
            RETURNING id INTO in_book;
        END IF;
        sign := CASE d->>'side' WHEN 'BUY' THEN 1 WHEN 'SELL' THEN -1 END;
        INSERT INTO trading_books.fill (
            book, entity_id, version, known_from, executed, sequence, fill_id, order_id, status,
            corrected, quantity, price, fees, updated_by, xid
        ) VALUES (
            in_book, e.entity_id, e.version, e.tx_time,
            coalesce((d->>'executed_at')::timestamptz, e.valid_from), e.seq,
            d->>'fill_id', d->>'order_id', d->>'status', coalesce(d->>'corrected_id', ''),
            sign * coalesce((d->>'corrected_quantity')::numeric, (d->>'fill_quantity')::numeric),
            coalesce((d->>'corrected_price')::numeric, (d->>'fill_price')::numeric),
            coalesce((d->>'corrected_fee_amount')::numeric, (d->>'fee_amount')::numeric),
            e.updated_by, own_xid);
    EXCEPTION WHEN data_exception OR not_null_violation OR check_violation THEN
        -- Whoever writes such a record into the log may do so; it is no execution.
        INSERT INTO trading_books.unreadable VALUES (e.entity_id, e.version, SQLERRM)
        ON CONFLICT DO NOTHING;
    END;
END $$;

-- How many versions a block has, or a few more: those of a transaction are in one block.
CREATE FUNCTION trading_books.block_versions() RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 4096 $$;

-- Make blocks of what is complete and in none; returns how many it made.
CREATE FUNCTION trading_books.close_blocks() RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- What transactions below it wrote is there, or never will be.
    fence CONSTANT bigint := object_store.fence()::text::bigint;
    lower bigint;
    upper bigint;
    made integer := 0;
BEGIN
    SELECT coalesce(max(b.until_xid), 0) INTO lower FROM trading_books.block b;
    LOOP
        SELECT f.xid + 1 INTO upper FROM trading_books.fill f
        WHERE f.xid >= lower AND f.xid < fence ORDER BY f.xid
        OFFSET trading_books.block_versions() - 1 LIMIT 1;
        EXIT WHEN NOT FOUND;
        WITH moved AS MATERIALIZED (
            SELECT f.book, f.executed, f.quantity, f.amount, f.fees, 1 AS fills, f.known_from AS known
            FROM trading_books.fill f
            WHERE f.xid >= lower AND f.xid < upper AND f.status = 'BOOKED'
                AND f.quantity IS NOT NULL
            UNION ALL
            SELECT f.book, f.executed, -f.quantity, -f.amount, -f.fees, -1, f.known_to
            FROM trading_books.fill f
            WHERE f.ended_xid >= lower AND f.ended_xid < upper AND f.status = 'BOOKED'
                AND f.quantity IS NOT NULL
        ), block AS (
            INSERT INTO trading_books.block
            SELECT upper, lower, coalesce(min(m.known), '-infinity'),
                coalesce(max(m.known), '-infinity')
            FROM moved m
        )
        INSERT INTO trading_books.cell
        SELECT m.book, upper, trading_books.quarter_of(m.executed), sum(m.quantity), sum(m.amount),
            sum(m.fees), sum(m.fills)
        FROM moved m GROUP BY 1, 3;
        lower := upper;
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

CREATE OR REPLACE FUNCTION trading_books.follow() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM trading_books.take(NEW);
    -- One at a time, and by who sees all blocks that there are; another one does it otherwise.
    IF nextval('trading_books.versions') % (trading_books.block_versions() / 4) = 0
        AND current_setting('transaction_isolation') = 'read committed'
        AND pg_try_advisory_xact_lock(7021415132)
    THEN
        PERFORM trading_books.close_blocks();
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER trading_books ON object_store.event;
CREATE TRIGGER trading_books AFTER INSERT ON object_store.event FOR EACH ROW
WHEN (NEW.type_name IN ('trading.engine.records.FillRecord', 'trading.engine.records.CashRecord',
    'trading.instruments.Split'))
EXECUTE FUNCTION trading_books.follow();

CREATE OR REPLACE FUNCTION trading_books.rebuild() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    e object_store.event;
    count bigint := 0;
BEGIN
    -- No event is written while what there is is taken, and no block is made.
    LOCK TABLE object_store.event IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM trading_books.cell;
    DELETE FROM trading_books.block;
    DELETE FROM trading_books.fill;
    DELETE FROM trading_books.income;
    DELETE FROM trading_books.split;
    DELETE FROM trading_books.unreadable;
    FOR e IN SELECT * FROM object_store.event
        WHERE type_name IN ('trading.engine.records.FillRecord',
            'trading.engine.records.CashRecord', 'trading.instruments.Split')
        ORDER BY xid, seq
    LOOP
        PERFORM trading_books.take(e);
        count := count + 1;
    END LOOP;
    PERFORM trading_books.close_blocks();
    RETURN count;
END $$;

-- `p_owner` is whose records count: what others share under the same names counts with NULL alone.
DROP FUNCTION trading_books.pnl(
    text, text, timestamptz, timestamptz, text[], numeric[], numeric[]);
DROP FUNCTION trading_books.changes(text, text, timestamptz, timestamptz, timestamptz);

CREATE FUNCTION trading_books.pnl(
    p_account text, p_run text, p_owner text, p_tx timestamptz, p_valid timestamptz,
    p_symbols text[], p_multipliers numeric[], p_prices numeric[]
) RETURNS TABLE (
    account text, run text, strategy text, symbol text, net numeric, cost numeric,
    realized numeric, unrealized numeric, fees numeric, income numeric, fills bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- How many books a name has, the planner guesses wrongly: rows are read in one go, and added up by
-- their hash. A plan for times that are not known reads four times as much.
SET work_mem = '64MB' SET jit = off SET enable_nestloop = off SET enable_sort = off
SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    mine integer[];
    closed bigint;
    -- Executions before this are in cells, those from it on are read one by one.
    edge CONSTANT timestamptz := trading_books.quarter_of(p_valid);
BEGIN
    SELECT array_agg(b.id) INTO mine FROM trading_books.book b
    WHERE b.owner = session_user AND (p_account IS NULL OR b.account = p_account)
        AND (p_run IS NULL OR b.run = p_run) AND (p_owner IS NULL OR b.owner = p_owner);
    SELECT coalesce(max(k.until_xid), 0) INTO closed FROM trading_books.block k;
    RETURN QUERY
    WITH ranges AS MATERIALIZED (
        -- What was known in part, and what is in no block.
        SELECT k.from_xid AS lower, k.until_xid AS upper FROM trading_books.block k
        WHERE k.known_from <= p_tx AND k.known_until > p_tx
        UNION ALL SELECT closed, 9223372036854775807
    ), parts AS (
        SELECT c.book, c.quantity, c.amount, c.fees, c.fills
        FROM trading_books.cell c JOIN trading_books.block k ON k.until_xid = c.block
        WHERE c.book = ANY (mine) AND c.quarter < edge AND k.known_until <= p_tx
        UNION ALL
        SELECT f.book, f.quantity, f.amount, f.fees, 1
        FROM ranges r JOIN trading_books.fill f ON f.xid >= r.lower AND f.xid < r.upper
        WHERE f.book = ANY (mine) AND f.executed < edge AND f.known_from <= p_tx
            AND f.status = 'BOOKED' AND f.quantity IS NOT NULL
        UNION ALL
        SELECT f.book, -f.quantity, -f.amount, -f.fees, -1
        FROM ranges r JOIN trading_books.fill f
            ON f.ended_xid >= r.lower AND f.ended_xid < r.upper AND f.ended_xid IS NOT NULL
        WHERE f.book = ANY (mine) AND f.executed < edge AND f.known_to <= p_tx
            AND f.status = 'BOOKED' AND f.quantity IS NOT NULL
        UNION ALL
        SELECT f.book, f.quantity, f.amount, f.fees, 1 FROM trading_books.fill f
        WHERE f.book = ANY (mine) AND f.executed >= edge AND f.executed <= p_valid
            AND f.known_from <= p_tx AND f.known_to > p_tx
            AND f.status = 'BOOKED' AND f.quantity IS NOT NULL
        UNION ALL
        -- Whether a correction counts depends on another execution: they are in no cell.
        SELECT f.book, f.quantity, f.amount, f.fees, 1 FROM trading_books.fill f
        WHERE f.book = ANY (mine) AND f.executed <= p_valid
            AND f.known_from <= p_tx AND f.known_to > p_tx
            AND f.status = 'CORRECTED' AND f.quantity IS NOT NULL
            AND NOT trading_books.is_taken_back(f.book, f.corrected, p_tx)
    ), totals AS MATERIALIZED (
        SELECT p.book AS id, sum(p.quantity) AS net, sum(p.amount) AS paid, sum(p.fees) AS fees,
            sum(p.fills)::bigint AS fills
        FROM parts p GROUP BY p.book HAVING sum(p.fills) > 0
        UNION ALL
        -- What others share, execution by execution; their books are none of one's own.
        SELECT f.book, sum(f.quantity), sum(f.amount), sum(f.fees), count(*)
        FROM object_store.acl a JOIN trading_books.fill f ON f.entity_id = a.entity_id
        JOIN trading_books.book b ON b.id = f.book
        WHERE a.grantee = session_user AND a.can_read AND b.owner <> session_user
            AND (p_account IS NULL OR b.account = p_account) AND (p_run IS NULL OR b.run = p_run)
            AND (p_owner IS NULL OR b.owner = p_owner)
            AND f.known_from <= p_tx AND f.known_to > p_tx AND f.executed <= p_valid
            AND f.quantity IS NOT NULL
            AND (f.status = 'BOOKED' OR f.status = 'CORRECTED'
                AND NOT trading_books.is_taken_back(f.book, f.corrected, p_tx))
        GROUP BY f.book
    ), matched AS (
        SELECT t.id, t.net, t.fees, t.fills, c.cost, c.cost - t.paid AS realized
        FROM totals t CROSS JOIN LATERAL (
            SELECT CASE WHEN t.net = 0 THEN 0 ELSE
                trading_books.open_cost(t.id, t.net, p_tx, p_valid) END AS cost) c
    ), given AS (
        SELECT * FROM unnest(p_symbols, p_multipliers, p_prices) AS g (symbol, multiplier, price)
    ), dividends AS (
        SELECT i.account, i.run, i.symbol, sum(i.amount) AS income FROM trading_books.income i
        WHERE (i.owner = session_user OR EXISTS (
                SELECT FROM object_store.acl a WHERE a.grantee = session_user AND a.can_read
                    AND a.entity_id = i.entity_id))
            AND (p_account IS NULL OR i.account = p_account)
            AND (p_run IS NULL OR i.run = p_run) AND (p_owner IS NULL OR i.owner = p_owner)
            AND i.known_from <= p_tx AND i.known_to > p_tx AND i.valid_from <= p_valid
        GROUP BY i.account, i.run, i.symbol
    )
    SELECT b.account, b.run, b.strategy, b.symbol, m.net,
        m.cost * coalesce(g.multiplier, 1), m.realized * coalesce(g.multiplier, 1),
        CASE WHEN m.net = 0 THEN 0 ELSE (m.net * g.price - m.cost) * coalesce(g.multiplier, 1) END,
        m.fees, 0::numeric, m.fills
    FROM matched m JOIN trading_books.book b ON b.id = m.id
    LEFT JOIN given g ON g.symbol = b.symbol
    UNION ALL
    -- The books do not say for which strategy a dividend was paid: it is its symbol's.
    SELECT d.account, d.run, '', d.symbol, 0, 0, 0, 0, 0, d.income, 0 FROM dividends d
    ORDER BY 1, 2, 3, 4;
END $$;

-- Executions of some symbols that count, book by book in the order in which they were executed: for
-- splits, which a sum knows nothing of.
CREATE FUNCTION trading_books.fills(
    p_account text, p_run text, p_owner text, p_tx timestamptz, p_valid timestamptz,
    p_symbols text[]
) RETURNS TABLE (
    book integer, account text, run text, strategy text, symbol text, executed timestamptz,
    quantity numeric, price numeric, fees numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT b.id, b.account, b.run, b.strategy, b.symbol, f.executed, f.quantity, f.price, f.fees
    FROM trading_books.book b JOIN trading_books.fill f ON f.book = b.id
    WHERE b.symbol = ANY (p_symbols)
        AND (p_account IS NULL OR b.account = p_account) AND (p_run IS NULL OR b.run = p_run)
        AND (p_owner IS NULL OR b.owner = p_owner)
        AND (b.owner = session_user OR EXISTS (
            SELECT FROM object_store.acl a WHERE a.grantee = session_user AND a.can_read
                AND a.entity_id = f.entity_id))
        AND f.executed <= p_valid AND f.known_from <= p_tx AND f.known_to > p_tx
        AND f.quantity IS NOT NULL
        AND (f.status = 'BOOKED' OR f.status = 'CORRECTED'
            AND NOT trading_books.is_taken_back(f.book, f.corrected, p_tx))
    ORDER BY b.id, f.executed, f.sequence;
END $$;

-- The splits up to a valid time as known at a time, each symbol's in order.
CREATE FUNCTION trading_books.splits(p_tx timestamptz, p_valid timestamptz) RETURNS TABLE (
    symbol text, split_at timestamptz, ratio_new integer, ratio_old integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT s.symbol, s.split_at, s.ratio_new, s.ratio_old FROM trading_books.split s
    WHERE s.split_at <= p_valid AND s.known_from <= p_tx AND s.known_to > p_tx
        AND (s.owner = session_user OR EXISTS (
            SELECT FROM object_store.acl a WHERE a.grantee = session_user AND a.can_read
                AND a.entity_id = s.entity_id))
    ORDER BY s.symbol, s.split_at, s.known_from, s.entity_id;
END $$;

-- Splits up to a valid time that became known in (p_since, p_until], or are known otherwise since.
CREATE FUNCTION trading_books.split_changes(
    p_since timestamptz, p_until timestamptz, p_valid timestamptz
) RETURNS TABLE (
    what text, symbol text, entity_id uuid, version integer, known_at timestamptz,
    valid_at timestamptz, updated_by text, ratio_new integer, ratio_old integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    WITH seen AS (
        SELECT s.* FROM trading_books.split s
        WHERE s.split_at <= p_valid
            AND (s.owner = session_user OR EXISTS (
                SELECT FROM object_store.acl a WHERE a.grantee = session_user AND a.can_read
                    AND a.entity_id = s.entity_id))
    )
    SELECT 'SPLIT', s.symbol, s.entity_id, s.version, s.known_from, s.split_at, s.updated_by,
        s.ratio_new, s.ratio_old
    FROM seen s WHERE s.known_from > p_since AND s.known_from <= p_until
    UNION ALL
    SELECT CASE e.event_type WHEN 'DELETED' THEN 'DELETED' ELSE 'MOVED' END, s.symbol,
        s.entity_id, e.version, e.tx_time, s.split_at, e.updated_by, s.ratio_new, s.ratio_old
    FROM seen s
    JOIN object_store.event e ON e.entity_id = s.entity_id AND e.version = s.version + 1
    WHERE s.known_to > p_since AND s.known_to <= p_until
        AND NOT EXISTS (SELECT FROM trading_books.split n
            WHERE n.entity_id = s.entity_id AND n.version = s.version + 1
                AND n.symbol = s.symbol AND n.split_at <= p_valid)
    ORDER BY 5, 3, 4;
END $$;

-- What became known in (p_since, p_until] about executions and income up to a valid time. A version
-- that ended without a next one in the same book by the valid time is a change of its own.
CREATE FUNCTION trading_books.changes(
    p_account text, p_run text, p_owner text, p_since timestamptz, p_until timestamptz,
    p_valid timestamptz
) RETURNS TABLE (
    account text, run text, strategy text, symbol text, what text, subject text,
    entity_id uuid, version integer, known_at timestamptz, valid_at timestamptz,
    quantity numeric, price numeric, amount numeric, updated_by text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    WITH may_read AS MATERIALIZED (
        SELECT a.entity_id FROM object_store.acl a WHERE a.grantee = session_user AND a.can_read
    ), asked AS MATERIALIZED (
        SELECT b.* FROM trading_books.book b
        WHERE (p_account IS NULL OR b.account = p_account) AND (p_run IS NULL OR b.run = p_run)
            AND (p_owner IS NULL OR b.owner = p_owner)
    )
    SELECT b.account, b.run, b.strategy, b.symbol,
        CASE f.status WHEN 'BOOKED' THEN 'FILL' WHEN 'CORRECTED' THEN 'CORRECTION' ELSE 'BUST' END,
        f.fill_id, f.entity_id, f.version, f.known_from, f.executed, f.quantity, f.price,
        f.fees, f.updated_by
    FROM asked b JOIN trading_books.fill f ON f.book = b.id
    WHERE (b.owner = session_user OR f.entity_id IN (SELECT m.entity_id FROM may_read m))
        AND f.known_from > p_since AND f.known_from <= p_until AND f.executed <= p_valid
    UNION ALL
    SELECT b.account, b.run, b.strategy, b.symbol,
        CASE e.event_type WHEN 'DELETED' THEN 'DELETED' ELSE 'MOVED' END,
        f.fill_id, f.entity_id, e.version, e.tx_time, f.executed, f.quantity, f.price, f.fees,
        e.updated_by
    FROM asked b JOIN trading_books.fill f ON f.book = b.id
    JOIN object_store.event e ON e.entity_id = f.entity_id AND e.version = f.version + 1
    WHERE (b.owner = session_user OR f.entity_id IN (SELECT m.entity_id FROM may_read m))
        AND f.known_to > p_since AND f.known_to <= p_until AND f.executed <= p_valid
        AND f.ended_xid IS NOT NULL
        AND NOT EXISTS (SELECT FROM trading_books.fill n
            WHERE n.entity_id = f.entity_id AND n.version = f.version + 1
                AND n.book = f.book AND n.executed <= p_valid)
    UNION ALL
    SELECT i.account, i.run, '', i.symbol, i.reason, i.symbol, i.entity_id, i.version,
        i.known_from, i.valid_from, NULL, NULL, i.amount, i.updated_by
    FROM trading_books.income i
    WHERE (i.owner = session_user OR i.entity_id IN (SELECT m.entity_id FROM may_read m))
        AND (p_account IS NULL OR i.account = p_account) AND (p_run IS NULL OR i.run = p_run)
        AND (p_owner IS NULL OR i.owner = p_owner)
        AND i.known_from > p_since AND i.known_from <= p_until AND i.valid_from <= p_valid
    UNION ALL
    SELECT i.account, i.run, '', i.symbol,
        CASE e.event_type WHEN 'DELETED' THEN 'DELETED' ELSE 'MOVED' END,
        i.symbol, i.entity_id, e.version, e.tx_time, i.valid_from, NULL, NULL, i.amount,
        e.updated_by
    FROM trading_books.income i
    JOIN object_store.event e ON e.entity_id = i.entity_id AND e.version = i.version + 1
    WHERE (i.owner = session_user OR i.entity_id IN (SELECT m.entity_id FROM may_read m))
        AND (p_account IS NULL OR i.account = p_account) AND (p_run IS NULL OR i.run = p_run)
        AND (p_owner IS NULL OR i.owner = p_owner)
        AND i.known_to > p_since AND i.known_to <= p_until AND i.valid_from <= p_valid
        AND NOT EXISTS (SELECT FROM trading_books.income n
            WHERE n.entity_id = i.entity_id AND n.version = i.version + 1 AND n.owner = i.owner
                AND n.account = i.account AND n.run = i.run AND n.symbol = i.symbol
                AND n.valid_from <= p_valid)
    ORDER BY 9, 7, 8;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA trading_books FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trading_books.pnl, trading_books.fills, trading_books.splits,
    trading_books.changes, trading_books.split_changes TO object_store_user;
