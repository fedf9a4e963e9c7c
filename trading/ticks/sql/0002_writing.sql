-- The finest series of each symbol at a source.
CREATE FUNCTION trading_ticks.known(names text[], of_source text)
RETURNS TABLE (name text, stream integer, series integer, price_digits integer, size_digits integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT ON (s.name) s.name, t.id, e.id, e.price_digits::integer, e.size_digits::integer
    FROM trading_ticks.symbol s
    JOIN trading_ticks.stream t ON t.symbol = s.id AND t.source = of_source
    JOIN trading_ticks.series e ON e.stream = t.id
    WHERE s.name = ANY (names)
    ORDER BY s.name, e.price_digits DESC, e.size_digits DESC
$$;

-- Make what is missing of symbols, streams and series.
CREATE FUNCTION trading_ticks.register(
    names text[], of_source text, of_price integer[], of_size integer[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Two writers who meet a symbol at the same time make it once.
    PERFORM pg_advisory_xact_lock(7021415120);
    INSERT INTO trading_ticks.symbol (name)
        SELECT n FROM unnest(names) WITH ORDINALITY AS g (n, place)
        WHERE NOT EXISTS (SELECT FROM trading_ticks.symbol WHERE name = n) ORDER BY place;
    INSERT INTO trading_ticks.stream (symbol, source)
        SELECT s.id, of_source FROM trading_ticks.symbol s
        WHERE s.name = ANY (names) AND NOT EXISTS (
            SELECT FROM trading_ticks.stream t WHERE t.symbol = s.id AND t.source = of_source);
    INSERT INTO trading_ticks.series (stream, price_digits, size_digits)
        SELECT t.id, g.p, g.z
        FROM unnest(names, of_price, of_size) AS g (n, p, z)
        JOIN trading_ticks.symbol s ON s.name = g.n
        JOIN trading_ticks.stream t ON t.symbol = s.id AND t.source = of_source
        WHERE NOT EXISTS (
            SELECT FROM trading_ticks.series e
            WHERE e.stream = t.id AND e.price_digits = g.p AND e.size_digits = g.z);
END
$$;

-- Lock streams until the end of the transaction, and say how far they are.
CREATE FUNCTION trading_ticks.claim(streams integer[])
RETURNS TABLE (stream integer, last bigint, arrivals bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.id, t.last, t.arrivals FROM trading_ticks.stream t
    WHERE t.id = ANY (streams) ORDER BY t.id FOR NO KEY UPDATE
$$;

-- Move the marks of claimed streams and count what was kept of each day.
CREATE FUNCTION trading_ticks.record(
    streams integer[], old_last bigint[], new_last bigint[], old_arrivals bigint[],
    new_arrivals bigint[], span_streams integer[], days date[], trades bigint[], quotes bigint[],
    lows bigint[], highs bigint[], newest bigint[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moved integer;
BEGIN
    UPDATE trading_ticks.stream t SET last = g.l, arrivals = g.a
        FROM unnest(streams, old_last, new_last, old_arrivals, new_arrivals) AS g (id, ol, l, oa, a)
        WHERE t.id = g.id AND t.last = g.ol AND t.arrivals = g.oa;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> cardinality(streams) THEN
        RAISE EXCEPTION 'another writer moved the marks of these streams' USING ERRCODE = '40001';
    END IF;
    INSERT INTO trading_ticks.span AS s (stream, day, trades, quotes, low, high, newest)
        SELECT * FROM unnest(span_streams, days, trades, quotes, lows, highs, newest)
        ON CONFLICT (stream, day) DO UPDATE SET
            trades = s.trades + excluded.trades, quotes = s.quotes + excluded.quotes,
            low = least(s.low, excluded.low), high = greatest(s.high, excluded.high),
            newest = greatest(s.newest, excluded.newest);
END
$$;

-- Days whose source sequences may hold one of these streams between two sequences.
CREATE FUNCTION trading_ticks.days_with(streams integer[], from_seq bigint, to_seq bigint)
RETURNS SETOF date
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT DISTINCT s.day FROM trading_ticks.span s
    WHERE s.stream = ANY (streams) AND s.low <= to_seq AND s.high >= from_seq
$$;

-- What a day keeps under source sequences: numbers as they are kept, with their decimal places.
-- Without `seqs` all of the streams' ticks between the two sequences, which is faster for many.
CREATE FUNCTION trading_ticks.find(
    of_kind text, of_day date, streams integer[], seqs bigint[], from_seq bigint, to_seq bigint
) RETURNS TABLE (
    stream integer, seq bigint, ts bigint, price_digits integer, size_digits integer,
    a bigint, b bigint, c bigint, d bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET work_mem = '128MB' AS $$
DECLARE
    leaf text := format('%s_%s', of_kind, to_char(of_day, 'YYYYMMDD'));
    -- What no number can be, for a side of a quote that is missing.
    none constant text := '(-9223372036854775807 - 1)';
BEGIN
    IF of_kind NOT IN ('trade', 'quote') THEN
        RAISE EXCEPTION 'ticks are of kind trade or quote, not %', of_kind;
    END IF;
    IF to_regclass('trading_ticks.' || leaf) IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT e.stream, l.seq, l.ts, e.price_digits::integer, e.size_digits::integer, %s '
        'FROM trading_ticks.%I l JOIN trading_ticks.series e ON e.id = l.series %s '
        'WHERE l.seq BETWEEN $3 AND $4',
        CASE of_kind WHEN 'trade' THEN format('l.price, l.size, %s, %s', none, none)
        ELSE format(
            'coalesce(l.bid, %1$s), coalesce(l.ask, %1$s), coalesce(l.bid_size, %1$s), '
            'coalesce(l.ask_size, %1$s)', none) END,
        leaf,
        CASE WHEN seqs IS NULL THEN 'AND e.stream = ANY ($1)' ELSE
            'JOIN unnest($1, $2) AS g (stream, seq) ON g.stream = e.stream AND g.seq = l.seq'
        END) USING streams, seqs, from_seq, to_seq;
END
$$;

-- Show what came under the sequence of another tick.
CREATE FUNCTION trading_ticks.note_conflicts(streams integer[], seqs bigint[], texts text[])
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO trading_ticks.conflict (stream, seq, refused)
        SELECT * FROM unnest(streams, seqs, texts) ON CONFLICT DO NOTHING
$$;

-- Make the partition of a day. CREATE and ATTACH does not wait for readers, PARTITION OF does.
CREATE FUNCTION trading_ticks.make_day(of_kind text, of_day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    leaf text := format('%s_%s', of_kind, to_char(of_day, 'YYYYMMDD'));
    low bigint := (of_day - DATE '1970-01-01')::bigint * 86400000000000;
    high bigint := low + 86400000000000;
BEGIN
    IF of_kind NOT IN ('trade', 'quote') THEN
        RAISE EXCEPTION 'ticks are of kind trade or quote, not %', of_kind;
    END IF;
    PERFORM pg_advisory_xact_lock(7021415121);
    IF to_regclass('trading_ticks.' || leaf) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE trading_ticks.%I (LIKE trading_ticks.%I INCLUDING ALL, '
        'CHECK (ts >= %s AND ts < %s))', leaf, of_kind, low, high);
    EXECUTE format('CREATE INDEX ON trading_ticks.%I USING brin (ts) WITH (pages_per_range = 32)',
        leaf);
    EXECUTE format('CREATE INDEX ON trading_ticks.%I USING brin (seq) WITH (pages_per_range = 32)',
        leaf);
    EXECUTE format('GRANT INSERT ON trading_ticks.%I TO trading_ticks_writer', leaf);
    PERFORM trading_ticks.without_statistics(leaf);
    EXECUTE format('ALTER TABLE trading_ticks.%I ATTACH PARTITION trading_ticks.%I '
        'FOR VALUES FROM (%s) TO (%s)', of_kind, leaf, low, high);
END
$$;

-- Keep no statistics of a table's columns: estimates would show them to everybody.
CREATE FUNCTION trading_ticks.without_statistics(name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_column text;
BEGIN
    FOR of_column IN SELECT attname FROM pg_attribute
        WHERE attrelid = ('trading_ticks.' || quote_ident(name))::regclass AND attnum > 0
    LOOP
        EXECUTE format('ALTER TABLE trading_ticks.%I ALTER %I SET STATISTICS 0', name, of_column);
    END LOOP;
END
$$;
SELECT trading_ticks.without_statistics('trade'), trading_ticks.without_statistics('quote');

-- The partitions that are there, with the days that they hold.
CREATE VIEW trading_ticks.leaf AS
    SELECT c.oid::regclass AS name, p.relname AS kind,
        to_date(right(c.relname, 8), 'YYYYMMDD') AS day
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
    WHERE i.inhparent IN ('trading_ticks.trade'::regclass, 'trading_ticks.quote'::regclass);

-- Drop the days that are older than `keep_days`; returns how many partitions that were. It waits a
-- second for readers and leaves the rest to the next time.
CREATE FUNCTION trading_ticks.drop_old() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    oldest date;
    old record;
    dropped integer := 0;
BEGIN
    SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date - value::integer INTO oldest
        FROM trading_ticks.setting WHERE name = 'keep_days';
    IF oldest IS NULL THEN
        RETURN 0;
    END IF;
    FOR old IN SELECT name, day FROM trading_ticks.leaf WHERE day < oldest ORDER BY day LOOP
        EXECUTE format('DROP TABLE %s', old.name);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM trading_ticks.span WHERE day < oldest;
    RETURN dropped;
EXCEPTION WHEN lock_not_available THEN
    RETURN 0;
END
$$;

-- Days that are over and still without their index by symbol and time.
CREATE FUNCTION trading_ticks.unsealed() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.name::text FROM trading_ticks.leaf l
    WHERE l.day < (clock_timestamp() AT TIME ZONE 'UTC')::date AND NOT EXISTS (
        SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_am m ON m.oid = c.relam
        WHERE i.indrelid = l.name AND m.amname = 'btree')
    ORDER BY l.day, l.kind
$$;

-- Index a day that is over by symbol and time, which takes seconds per million ticks.
CREATE FUNCTION trading_ticks.seal(of_leaf text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF of_leaf NOT IN (SELECT trading_ticks.unsealed()) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE INDEX ON %s (series, ts)', of_leaf::regclass);
END
$$;
