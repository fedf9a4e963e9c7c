-- Executions and cash of all runs, as typed rows with both times: what two-time questions are
-- answered from. Derived from the log by a trigger in the transaction that writes the event, and
-- made anew from it by `rebuild`. Owned by the store's owner; users read through functions
-- alone, which show what the user may see in the store.

CREATE TABLE trading_books.book (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner       text COLLATE "C" NOT NULL,
    account     text COLLATE "C" NOT NULL,
    run         text COLLATE "C" NOT NULL,
    strategy    text COLLATE "C" NOT NULL,
    symbol      text COLLATE "C" NOT NULL,
    UNIQUE (owner, account, run, strategy, symbol)
);

-- A version of an execution; it is what is known in [known_from, known_to).
CREATE TABLE trading_books.fill (
    book        integer NOT NULL REFERENCES trading_books.book,
    entity_id   uuid NOT NULL,
    version     integer NOT NULL,
    known_from  timestamptz NOT NULL,
    known_to    timestamptz NOT NULL DEFAULT 'infinity',
    executed    timestamptz NOT NULL,
    sequence    bigint NOT NULL,
    fill_id     text COLLATE "C" NOT NULL,
    order_id    text COLLATE "C" NOT NULL,
    status      text COLLATE "C" NOT NULL,
    corrected   text COLLATE "C" NOT NULL,
    -- Signed: what was bought is above 0.
    quantity    numeric,
    price       numeric,
    fees        numeric,
    updated_by  text COLLATE "C" NOT NULL,
    amount      numeric GENERATED ALWAYS AS (quantity * price) STORED,
    PRIMARY KEY (entity_id, version)
);
CREATE INDEX fill_by_book ON trading_books.fill (book, executed, sequence);
CREATE INDEX fill_by_time ON trading_books.fill (known_from);
CREATE INDEX fill_by_id ON trading_books.fill (fill_id);

-- Dividends, and cash in lieu of fractions.
CREATE TABLE trading_books.income (
    entity_id   uuid NOT NULL,
    version     integer NOT NULL,
    owner       text COLLATE "C" NOT NULL,
    account     text COLLATE "C" NOT NULL,
    run         text COLLATE "C" NOT NULL,
    symbol      text COLLATE "C" NOT NULL,
    reason      text COLLATE "C" NOT NULL,
    amount      numeric NOT NULL,
    known_from  timestamptz NOT NULL,
    known_to    timestamptz NOT NULL DEFAULT 'infinity',
    valid_from  timestamptz NOT NULL,
    updated_by  text COLLATE "C" NOT NULL,
    PRIMARY KEY (entity_id, version)
);
CREATE INDEX income_by_owner ON trading_books.income (owner, account, run);

-- Records of a login's own that are not as the engine writes them; the log has them all the same.
CREATE TABLE trading_books.unreadable (
    entity_id   uuid NOT NULL,
    version     integer NOT NULL,
    problem     text NOT NULL,
    PRIMARY KEY (entity_id, version)
);

CREATE FUNCTION trading_books.take(e object_store.event) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    d CONSTANT jsonb := e.data;
    sign integer;
    in_book integer;
BEGIN
    IF e.type_name = 'trading.engine.records.FillRecord' THEN
        UPDATE trading_books.fill f SET known_to = e.tx_time
        WHERE f.entity_id = e.entity_id AND f.version = e.version - 1;
        IF e.event_type = 'DELETED' THEN
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
        INSERT INTO trading_books.fill VALUES (
            in_book, e.entity_id, e.version, e.tx_time, 'infinity',
            coalesce((d->>'executed_at')::timestamptz, e.valid_from), e.seq,
            d->>'fill_id', d->>'order_id', d->>'status', coalesce(d->>'corrected_id', ''),
            sign * coalesce((d->>'corrected_quantity')::numeric, (d->>'fill_quantity')::numeric),
            coalesce((d->>'corrected_price')::numeric, (d->>'fill_price')::numeric),
            coalesce((d->>'corrected_fee_amount')::numeric, (d->>'fee_amount')::numeric),
            e.updated_by);
    ELSE
        UPDATE trading_books.income i SET known_to = e.tx_time
        WHERE i.entity_id = e.entity_id AND i.version = e.version - 1;
        IF e.event_type <> 'DELETED' AND d->>'cash_reason' IN ('DIVIDEND', 'LIEU') THEN
            INSERT INTO trading_books.income VALUES (
                e.entity_id, e.version, e.owner, d->>'account', d->>'run', d->>'cash_subject',
                d->>'cash_reason', (d->>'amount')::numeric, e.tx_time, 'infinity', e.valid_from,
                e.updated_by);
        END IF;
    END IF;
EXCEPTION WHEN data_exception OR not_null_violation THEN
    -- Whoever writes such a record into the log may do so; it is no execution.
    INSERT INTO trading_books.unreadable VALUES (e.entity_id, e.version, SQLERRM)
    ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION trading_books.follow() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM trading_books.take(NEW);
    RETURN NULL;
END $$;
CREATE TRIGGER trading_books AFTER INSERT ON object_store.event FOR EACH ROW
WHEN (NEW.type_name IN ('trading.engine.records.FillRecord', 'trading.engine.records.CashRecord'))
EXECUTE FUNCTION trading_books.follow();

CREATE FUNCTION trading_books.rebuild() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    e object_store.event;
    count bigint := 0;
BEGIN
    -- No event is written while what there is is taken.
    LOCK TABLE object_store.event IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM trading_books.fill;
    DELETE FROM trading_books.income;
    DELETE FROM trading_books.unreadable;
    FOR e IN SELECT * FROM object_store.event
        WHERE type_name IN (
            'trading.engine.records.FillRecord', 'trading.engine.records.CashRecord')
        ORDER BY xid, seq
    LOOP
        PERFORM trading_books.take(e);
        count := count + 1;
    END LOOP;
    RETURN count;
END $$;

-- An execution that was corrected counts with its correction's numbers, unless the correction has a
-- record of its own by then: that one was taken back as well.
CREATE FUNCTION trading_books.is_taken_back(p_book integer, p_fill_id text, p_tx timestamptz)
RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM trading_books.fill c JOIN trading_books.book cb ON cb.id = c.book
        JOIN trading_books.book b ON b.id = p_book
        WHERE c.fill_id = p_fill_id AND cb.owner = b.owner AND cb.account = b.account
            AND cb.run = b.run AND c.known_from <= p_tx);
END $$;

-- What the open units of a book were traded for, signed as they are: the last ones of the side
-- that is larger, newest first until they are all found.
CREATE FUNCTION trading_books.open_cost(
    p_book integer, p_net numeric, p_tx timestamptz, p_valid timestamptz
) RETURNS numeric
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_sort = off AS $$
DECLARE
    owner_of text;
    left_open numeric := abs(p_net);
    cost numeric := 0;
    piece numeric;
    f record;
BEGIN
    SELECT b.owner INTO owner_of FROM trading_books.book b WHERE b.id = p_book;
    FOR f IN
        SELECT e.quantity, e.price FROM trading_books.fill e
        WHERE e.book = p_book AND e.executed <= p_valid AND sign(e.quantity) = sign(p_net)
            AND e.known_from <= p_tx AND e.known_to > p_tx
            AND (owner_of = session_user OR EXISTS (
                SELECT FROM object_store.acl a WHERE a.grantee = session_user AND a.can_read
                    AND a.entity_id = e.entity_id))
            AND (e.status = 'BOOKED' OR e.status = 'CORRECTED'
                AND NOT trading_books.is_taken_back(p_book, e.corrected, p_tx))
        ORDER BY e.executed DESC, e.sequence DESC
    LOOP
        piece := least(abs(f.quantity), left_open);
        cost := cost + piece * f.price;
        left_open := left_open - piece;
        EXIT WHEN left_open = 0;
    END LOOP;
    RETURN cost * sign(p_net);
END $$;

-- Positions and P&L at a valid time by what was known at a time: as if all of it had been known in
-- time. The first units sold are matched with the first units bought (FIFO over both sides), so
-- that what is open are the last units of the larger side: only these are looked at one by one.
-- Multipliers and prices are given by symbol; without a price there is no unrealized P&L.
CREATE FUNCTION trading_books.pnl(
    p_account text, p_run text, p_tx timestamptz, p_valid timestamptz,
    p_symbols text[], p_multipliers numeric[], p_prices numeric[]
) RETURNS TABLE (
    account text, run text, strategy text, symbol text, net numeric, cost numeric,
    realized numeric, unrealized numeric, fees numeric, income numeric, fills bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- How many books a name has, the planner guesses wrongly: executions are read in one go, and added
-- up by their hash.
SET work_mem = '64MB' SET jit = off SET enable_nestloop = off SET enable_sort = off AS $$
BEGIN
    RETURN QUERY
    WITH totals AS MATERIALIZED (
        SELECT f.book AS id, sum(f.quantity) AS net, sum(f.amount) AS paid, sum(f.fees) AS fees,
            count(*) AS fills
        FROM trading_books.fill f
        WHERE f.book IN (
                SELECT b.id FROM trading_books.book b WHERE b.owner = session_user
                    AND (p_account IS NULL OR b.account = p_account)
                    AND (p_run IS NULL OR b.run = p_run))
            AND f.known_from <= p_tx AND f.known_to > p_tx AND f.executed <= p_valid
            AND f.quantity IS NOT NULL
            AND (f.status = 'BOOKED' OR f.status = 'CORRECTED'
                AND NOT trading_books.is_taken_back(f.book, f.corrected, p_tx))
        GROUP BY f.book
        UNION ALL
        -- What others share, execution by execution; their books are none of one's own.
        SELECT f.book, sum(f.quantity), sum(f.amount), sum(f.fees), count(*)
        FROM object_store.acl a JOIN trading_books.fill f ON f.entity_id = a.entity_id
        JOIN trading_books.book b ON b.id = f.book
        WHERE a.grantee = session_user AND a.can_read AND b.owner <> session_user
            AND (p_account IS NULL OR b.account = p_account) AND (p_run IS NULL OR b.run = p_run)
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
            AND (p_run IS NULL OR i.run = p_run)
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

-- What became known in (p_since, p_until] about executions and income up to a valid time.
CREATE FUNCTION trading_books.changes(
    p_account text, p_run text, p_since timestamptz, p_until timestamptz, p_valid timestamptz
) RETURNS TABLE (
    account text, run text, strategy text, symbol text, what text, subject text,
    entity_id uuid, version integer, known_at timestamptz, valid_at timestamptz,
    quantity numeric, price numeric, amount numeric, updated_by text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT b.account, b.run, b.strategy, b.symbol,
        CASE f.status WHEN 'BOOKED' THEN 'FILL' WHEN 'CORRECTED' THEN 'CORRECTION' ELSE 'BUST' END,
        f.fill_id, f.entity_id, f.version, f.known_from, f.executed, f.quantity, f.price,
        f.fees, f.updated_by
    FROM trading_books.book b JOIN trading_books.fill f ON f.book = b.id
    WHERE (b.owner = session_user OR EXISTS (
            SELECT FROM object_store.acl a WHERE a.grantee = session_user AND a.can_read
                AND a.entity_id = f.entity_id))
        AND (p_account IS NULL OR b.account = p_account) AND (p_run IS NULL OR b.run = p_run)
        AND f.known_from > p_since AND f.known_from <= p_until AND f.executed <= p_valid
    UNION ALL
    SELECT i.account, i.run, '', i.symbol, i.reason, i.symbol, i.entity_id, i.version,
        i.known_from, i.valid_from, NULL, NULL, i.amount, i.updated_by
    FROM trading_books.income i
    WHERE (i.owner = session_user OR EXISTS (
            SELECT FROM object_store.acl a WHERE a.grantee = session_user AND a.can_read
                AND a.entity_id = i.entity_id))
        AND (p_account IS NULL OR i.account = p_account) AND (p_run IS NULL OR i.run = p_run)
        AND i.known_from > p_since AND i.known_from <= p_until AND i.valid_from <= p_valid
    ORDER BY 9, 7, 8;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA trading_books FROM PUBLIC;
GRANT USAGE ON SCHEMA trading_books TO object_store_user;
GRANT EXECUTE ON FUNCTION trading_books.pnl, trading_books.changes TO object_store_user;
