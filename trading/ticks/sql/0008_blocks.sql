-- Blocks: up to 8,192 ticks of one series and day in one row, an array a column. Ticks that come many
-- at a time are kept so from the beginning, and those of days that are over are gathered into them.
-- A row costs PostgreSQL as much to enter, to index and to give out as it holds little; of a block
-- that is paid once. A column that no tick of a block has is null; no element of an array is.
CREATE TABLE trading_ticks.trade_block (
    low bigint NOT NULL,
    high bigint NOT NULL,
    low_seq bigint NOT NULL,
    high_seq bigint NOT NULL,
    series integer NOT NULL,
    ts bigint[] NOT NULL,
    seq bigint[] NOT NULL,
    price bigint[] NOT NULL,
    size bigint[] NOT NULL,
    received bigint[],
    CONSTRAINT one_length CHECK (cardinality(ts) > 0 AND cardinality(seq) = cardinality(ts)
        AND cardinality(price) = cardinality(ts) AND cardinality(size) = cardinality(ts)
        AND coalesce(cardinality(received) = cardinality(ts), true))
) PARTITION BY RANGE (low);

CREATE TABLE trading_ticks.quote_block (
    low bigint NOT NULL,
    high bigint NOT NULL,
    low_seq bigint NOT NULL,
    high_seq bigint NOT NULL,
    series integer NOT NULL,
    ts bigint[] NOT NULL,
    seq bigint[] NOT NULL,
    bid bigint[],
    ask bigint[],
    bid_size bigint[],
    ask_size bigint[],
    received bigint[],
    CONSTRAINT one_length CHECK (cardinality(ts) > 0 AND cardinality(seq) = cardinality(ts)
        AND coalesce(cardinality(bid) = cardinality(ts), true)
        AND coalesce(cardinality(ask) = cardinality(ts), true)
        AND coalesce(cardinality(bid_size) = cardinality(ts), true)
        AND coalesce(cardinality(ask_size) = cardinality(ts), true)
        AND coalesce(cardinality(received) = cardinality(ts), true))
) PARTITION BY RANGE (low);
SELECT trading_ticks.without_statistics('trade_block'),
    trading_ticks.without_statistics('quote_block');
-- Compressing takes longer than all the rest of an append.
ALTER TABLE trading_ticks.trade_block
    ALTER ts SET STORAGE EXTERNAL, ALTER seq SET STORAGE EXTERNAL,
    ALTER price SET STORAGE EXTERNAL, ALTER size SET STORAGE EXTERNAL,
    ALTER received SET STORAGE EXTERNAL;
ALTER TABLE trading_ticks.quote_block
    ALTER ts SET STORAGE EXTERNAL, ALTER seq SET STORAGE EXTERNAL,
    ALTER bid SET STORAGE EXTERNAL, ALTER ask SET STORAGE EXTERNAL,
    ALTER bid_size SET STORAGE EXTERNAL, ALTER ask_size SET STORAGE EXTERNAL,
    ALTER received SET STORAGE EXTERNAL;

-- A condition on the day may be asked of every table of the database before the join.
CREATE OR REPLACE VIEW trading_ticks.leaf AS
    SELECT c.oid::regclass AS name, p.relname AS kind,
        CASE WHEN c.relname ~ '_[0-9]{8}$' THEN to_date(right(c.relname, 8), 'YYYYMMDD') END AS day
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
    WHERE i.inhparent IN ('trading_ticks.trade'::regclass, 'trading_ticks.quote'::regclass,
        'trading_ticks.trade_block'::regclass, 'trading_ticks.quote_block'::regclass);

-- Make the partition of a day. Single ticks are found by BRIN, blocks by series and time. The CHECK
-- is only for ATTACH, which need not scan the table then.
CREATE OR REPLACE FUNCTION trading_ticks.make_day(of_kind text, of_day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    leaf text := format('%s_%s', of_kind, to_char(of_day, 'YYYYMMDD'));
    is_block boolean := of_kind IN ('trade_block', 'quote_block');
    low bigint := (of_day - DATE '1970-01-01')::bigint * 86400000000000;
    high bigint := low + 86400000000000;
BEGIN
    IF of_kind NOT IN ('trade', 'quote', 'trade_block', 'quote_block') THEN
        RAISE EXCEPTION 'ticks are of kind trade, quote, trade_block or quote_block, not %',
            of_kind;
    END IF;
    PERFORM pg_advisory_xact_lock(7021415121);
    IF to_regclass('trading_ticks.' || leaf) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE trading_ticks.%I (LIKE trading_ticks.%I INCLUDING ALL, '
        'CONSTRAINT of_day CHECK (%4$I >= %3$s AND %4$I < %5$s))', leaf, of_kind, low,
        CASE WHEN is_block THEN 'low' ELSE 'ts' END, high);
    EXECUTE format('CREATE INDEX ON trading_ticks.%I ' || CASE WHEN is_block
        THEN '(series, low)' ELSE 'USING brin (ts, seq) WITH (pages_per_range = 32)' END, leaf);
    EXECUTE format('GRANT INSERT ON trading_ticks.%I TO trading_ticks_writer', leaf);
    PERFORM trading_ticks.without_statistics(leaf);
    EXECUTE format('ALTER TABLE trading_ticks.%I ATTACH PARTITION trading_ticks.%I '
        'FOR VALUES FROM (%s) TO (%s)', of_kind, leaf, low, high);
    EXECUTE format('ALTER TABLE trading_ticks.%I DROP CONSTRAINT of_day', leaf);
END
$$;

-- What a day keeps under source sequences, of single ticks and of blocks: numbers as they are kept,
-- with their decimal places. Without `seqs` all of the streams' ticks between the two sequences,
-- which is faster for many.
CREATE OR REPLACE FUNCTION trading_ticks.find(
    of_kind text, of_day date, streams integer[], seqs bigint[], from_seq bigint, to_seq bigint
) RETURNS TABLE (
    stream integer, seq bigint, ts bigint, price_digits integer, size_digits integer,
    a bigint, b bigint, c bigint, d bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET work_mem = '128MB' AS $$
DECLARE
    leaf text := format('%s_%s', of_kind, to_char(of_day, 'YYYYMMDD'));
    blocks text := format('%s_block_%s', of_kind, to_char(of_day, 'YYYYMMDD'));
    columns text := CASE of_kind WHEN 'trade' THEN 'price, %1$ssize'
        ELSE 'bid, %1$sask, %1$sbid_size, %1$sask_size' END;
    -- What no number can be, for a side of a quote that is missing.
    none constant text := '(-9223372036854775807 - 1)';
    parts text[] := '{}';
BEGIN
    IF of_kind NOT IN ('trade', 'quote') THEN
        RAISE EXCEPTION 'ticks are of kind trade or quote, not %', of_kind;
    END IF;
    IF to_regclass('trading_ticks.' || leaf) IS NOT NULL THEN
        parts := parts || format(
            'SELECT series, seq, ts, %s FROM trading_ticks.%I WHERE seq BETWEEN $3 AND $4',
            format(columns, ''), leaf);
    END IF;
    IF to_regclass('trading_ticks.' || blocks) IS NOT NULL THEN
        parts := parts || format(
            'SELECT k.series, u.* FROM trading_ticks.%I k '
            'CROSS JOIN LATERAL unnest(k.seq, k.ts, k.%s) AS u (seq, ts, %s) '
            'WHERE k.low_seq <= $4 AND k.high_seq >= $3 AND u.seq BETWEEN $3 AND $4 '
            'AND k.series = ANY (ARRAY(SELECT id FROM trading_ticks.series '
            'WHERE stream = ANY ($1)))', blocks, format(columns, 'k.'), format(columns, ''));
    END IF;
    IF cardinality(parts) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT e.stream, l.seq, l.ts, e.price_digits::integer, e.size_digits::integer, %s '
        'FROM (%s) l JOIN trading_ticks.series e ON e.id = l.series %s',
        CASE of_kind WHEN 'trade' THEN format('l.price, l.size, %s, %s', none, none)
        ELSE format(
            'coalesce(l.bid, %1$s), coalesce(l.ask, %1$s), coalesce(l.bid_size, %1$s), '
            'coalesce(l.ask_size, %1$s)', none) END,
        array_to_string(parts, ' UNION ALL '),
        CASE WHEN seqs IS NULL THEN 'AND e.stream = ANY ($1)' ELSE
            'JOIN unnest($1, $2) AS g (stream, seq) ON g.stream = e.stream AND g.seq = l.seq'
        END) USING streams, seqs, from_seq, to_seq;
END
$$;

-- Days that are over and have single ticks still.
CREATE OR REPLACE FUNCTION trading_ticks.unsealed() RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    each record;
    has_ticks boolean;
BEGIN
    FOR each IN SELECT l.name FROM trading_ticks.leaf l
        WHERE l.kind IN ('trade', 'quote')
            AND l.day < (clock_timestamp() AT TIME ZONE 'UTC')::date
        ORDER BY l.day, l.kind
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', each.name) INTO has_ticks;
        IF has_ticks THEN
            RETURN NEXT each.name::text;
        END IF;
    END LOOP;
END
$$;

-- Make the partition for the blocks of a day of single ticks: in a transaction of its own before
-- `seal`, as writers of a new day wait for it.
CREATE FUNCTION trading_ticks.make_blocks(of_leaf text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT trading_ticks.make_day(l.kind || '_block', l.day) FROM trading_ticks.leaf l
    WHERE l.name = of_leaf::regclass AND l.kind IN ('trade', 'quote')
$$;
REVOKE ALL ON FUNCTION trading_ticks.make_blocks(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trading_ticks.make_blocks(text) TO trading_ticks_writer;

-- Gather the single ticks of a day that is over into blocks, by series and time, which takes seconds
-- per million ticks. Late ticks of the day wait for it; readers do not, as the rows that they began
-- with stay visible to them.
CREATE OR REPLACE FUNCTION trading_ticks.seal(of_leaf text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET work_mem = '128MB' AS $$
DECLARE
    of_kind text;
    of_day date;
    own text[];
    nulls text;
BEGIN
    IF of_leaf NOT IN (SELECT trading_ticks.unsealed()) THEN
        RETURN;
    END IF;
    SELECT l.kind, l.day INTO of_kind, of_day FROM trading_ticks.leaf l
        WHERE l.name = of_leaf::regclass;
    own := CASE of_kind WHEN 'trade' THEN ARRAY['price', 'size', 'received']
        ELSE ARRAY['bid', 'ask', 'bid_size', 'ask_size', 'received'] END;
    SELECT string_agg(c || ' IS NULL', ', ') INTO nulls FROM unnest(own) c;
    IF to_regclass(format('trading_ticks.%s_block_%s', of_kind, to_char(of_day, 'YYYYMMDD'))) IS NULL
    THEN
        PERFORM trading_ticks.make_day(of_kind || '_block', of_day);
    END IF;
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', of_leaf::regclass);
    EXECUTE format(
        'INSERT INTO trading_ticks.%I (low, high, low_seq, high_seq, series, ts, seq, %s) '
        'SELECT min(ts), max(ts), min(seq), max(seq), series, '
        'array_agg(ts ORDER BY ts, seq), array_agg(seq ORDER BY ts, seq), %s '
        'FROM (SELECT *, (row_number() OVER (PARTITION BY series, %s ORDER BY ts, seq) - 1) / 8192 '
        'AS number FROM %s) numbered GROUP BY series, %s, number',
        of_kind || '_block', array_to_string(own, ', '),
        -- All rows of a group have a column, or none.
        (SELECT string_agg(
            format('array_agg(%1$s ORDER BY ts, seq) FILTER (WHERE %1$s IS NOT NULL)', c), ', ')
            FROM unnest(own) c),
        nulls, of_leaf::regclass, nulls);
    EXECUTE format('DELETE FROM %s', of_leaf::regclass);
END
$$;

-- What people read: single ticks and those of blocks. Each part is a view of its own, as PostgreSQL
-- sees through a barrier around UNION ALL and would ask a condition before the rights.
CREATE VIEW trading_ticks.single_trades WITH (security_barrier) AS
    SELECT ts, seq, price::numeric AS price, size::numeric AS size, received, series
    FROM trading_ticks.trade
    WHERE series = ANY ((SELECT trading_ticks.allowed())::integer[]);
CREATE VIEW trading_ticks.block_trades WITH (security_barrier) AS
    SELECT u.ts, u.seq, u.price::numeric AS price, u.size::numeric AS size, u.received, b.series
    FROM trading_ticks.trade_block b
    CROSS JOIN LATERAL unnest(b.ts, b.seq, b.price, b.size, b.received)
        AS u (ts, seq, price, size, received)
    WHERE b.series = ANY ((SELECT trading_ticks.allowed())::integer[]);
CREATE OR REPLACE VIEW trading_ticks.trades WITH (security_barrier) AS
    SELECT * FROM trading_ticks.single_trades UNION ALL SELECT * FROM trading_ticks.block_trades;

CREATE VIEW trading_ticks.single_quotes WITH (security_barrier) AS
    SELECT ts, seq, bid::numeric AS bid, ask::numeric AS ask, bid_size::numeric AS bid_size,
        ask_size::numeric AS ask_size, received, series
    FROM trading_ticks.quote
    WHERE series = ANY ((SELECT trading_ticks.allowed())::integer[]);
CREATE VIEW trading_ticks.block_quotes WITH (security_barrier) AS
    SELECT u.ts, u.seq, u.bid::numeric AS bid, u.ask::numeric AS ask,
        u.bid_size::numeric AS bid_size, u.ask_size::numeric AS ask_size, u.received, b.series
    FROM trading_ticks.quote_block b
    CROSS JOIN LATERAL unnest(b.ts, b.seq, b.bid, b.ask, b.bid_size, b.ask_size, b.received)
        AS u (ts, seq, bid, ask, bid_size, ask_size, received)
    WHERE b.series = ANY ((SELECT trading_ticks.allowed())::integer[]);
CREATE OR REPLACE VIEW trading_ticks.quotes WITH (security_barrier) AS
    SELECT * FROM trading_ticks.single_quotes UNION ALL SELECT * FROM trading_ticks.block_quotes;

-- No block of a day before this one has a tick of the times that the session has set.
CREATE FUNCTION trading_ticks.asked_from() RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN low < -9223286400000000000 THEN low ELSE low - 86400000000000 END
    FROM trading_ticks.asked_time('trading_ticks.low') AS low
$$;

-- What programs read: the blocks that have ticks of the series and times that the session has set,
-- and maybe ticks before and after them.
CREATE VIEW trading_ticks.asked_trade_blocks WITH (security_barrier) AS
    SELECT ts, seq, price, size, received, series
    FROM trading_ticks.trade_block
    WHERE series = ANY ((SELECT trading_ticks.asked())::integer[])
        AND low >= (SELECT trading_ticks.asked_from())
        AND low < (SELECT trading_ticks.asked_time('trading_ticks.high'))
        AND high >= (SELECT trading_ticks.asked_time('trading_ticks.low'))
    OFFSET 0;
CREATE VIEW trading_ticks.asked_quote_blocks WITH (security_barrier) AS
    SELECT ts, seq, bid, ask, bid_size, ask_size, received, series
    FROM trading_ticks.quote_block
    WHERE series = ANY ((SELECT trading_ticks.asked())::integer[])
        AND low >= (SELECT trading_ticks.asked_from())
        AND low < (SELECT trading_ticks.asked_time('trading_ticks.high'))
        AND high >= (SELECT trading_ticks.asked_time('trading_ticks.low'))
    OFFSET 0;
REVOKE ALL ON FUNCTION trading_ticks.asked_from() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trading_ticks.asked_from() TO trading_ticks_reader;
GRANT SELECT ON trading_ticks.asked_trade_blocks, trading_ticks.asked_quote_blocks
TO trading_ticks_reader;
