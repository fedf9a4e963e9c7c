-- Is the session's user the owner, or an administrator?
CREATE FUNCTION trading_ticks.is_owner() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_has_role(session_user, 'trading_ticks_owner', 'MEMBER')
$$;

-- The series that the session's user may read.
CREATE FUNCTION trading_ticks.allowed() RETURNS integer[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(e.id), '{}')
    FROM trading_ticks.series e JOIN trading_ticks.stream t ON t.id = e.stream
    WHERE EXISTS (
            SELECT FROM trading_ticks.reader r
            WHERE r.grantee = session_user::text COLLATE "C"
            AND (r.symbol IS NULL OR r.symbol = t.symbol))
        OR trading_ticks.is_owner()
$$;

-- The readable series of symbols (null: of all) at a source (null: of each).
CREATE FUNCTION trading_ticks.readable(names text[], of_source text)
RETURNS TABLE (
    name text, source text, stream integer, series integer, price_digits integer,
    size_digits integer
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.name, t.source, t.id, e.id, e.price_digits::integer, e.size_digits::integer
    FROM trading_ticks.symbol s
    JOIN trading_ticks.stream t ON t.symbol = s.id
    JOIN trading_ticks.series e ON e.stream = t.id
    WHERE (names IS NULL OR s.name = ANY (names))
        AND (of_source IS NULL OR t.source = of_source)
        AND e.id = ANY ((SELECT trading_ticks.allowed())::integer[])
    ORDER BY s.name, t.source, e.id
$$;

-- What readable streams hold, day by day.
CREATE FUNCTION trading_ticks.held(names text[], of_source text)
RETURNS TABLE (name text, day date, trades bigint, quotes bigint, newest bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.name, p.day, sum(p.trades)::bigint, sum(p.quotes)::bigint, max(p.newest)
    FROM trading_ticks.span p
    JOIN trading_ticks.stream t ON t.id = p.stream
    JOIN trading_ticks.symbol s ON s.id = t.symbol
    WHERE p.stream IN (SELECT r.stream FROM trading_ticks.readable(names, of_source) r)
    GROUP BY s.name, p.day
$$;

-- Ticks that were refused because another one has their sequence, of readable symbols.
CREATE FUNCTION trading_ticks.conflicts()
RETURNS TABLE (name text, source text, seq bigint, refused text, seen_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.name, t.source, c.seq, c.refused, c.seen_at
    FROM trading_ticks.conflict c
    JOIN trading_ticks.stream t ON t.id = c.stream
    JOIN trading_ticks.symbol s ON s.id = t.symbol
    WHERE c.stream IN (SELECT r.stream FROM trading_ticks.readable(NULL, NULL) r)
    ORDER BY c.seen_at
$$;

-- Bytes of all ticks with their indexes, and after how many days they are dropped.
CREATE FUNCTION trading_ticks.overview(OUT bytes bigint, OUT keep_days bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT (SELECT coalesce(sum(pg_total_relation_size(l.name)), 0)::bigint
            FROM trading_ticks.leaf l),
        (SELECT value FROM trading_ticks.setting WHERE name = 'keep_days')
$$;

-- What readers read; nobody but the owner reads the tables.
CREATE VIEW trading_ticks.trades WITH (security_barrier) AS
    SELECT ts, seq, price, size, received, series
    FROM trading_ticks.trade
    WHERE series = ANY ((SELECT trading_ticks.allowed())::integer[]);
CREATE VIEW trading_ticks.quotes WITH (security_barrier) AS
    SELECT ts, seq, bid, ask, bid_size,
        ask_size, received, series
    FROM trading_ticks.quote
    WHERE series = ANY ((SELECT trading_ticks.allowed())::integer[]);

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA trading_ticks FROM PUBLIC;
GRANT USAGE ON SCHEMA trading_ticks TO trading_ticks_reader, trading_ticks_writer;
GRANT SELECT ON trading_ticks.trades, trading_ticks.quotes TO trading_ticks_reader;
GRANT SELECT ON trading_ticks.schema_version TO trading_ticks_reader, trading_ticks_writer;
GRANT EXECUTE ON FUNCTION
    trading_ticks.is_owner(), trading_ticks.allowed(), trading_ticks.readable(text[], text),
    trading_ticks.held(text[], text), trading_ticks.conflicts(), trading_ticks.overview()
TO trading_ticks_reader, trading_ticks_writer;
GRANT EXECUTE ON FUNCTION
    trading_ticks.known(text[], text),
    trading_ticks.register(text[], text, integer[], integer[]),
    trading_ticks.claim(integer[]),
    trading_ticks.record(integer[], bigint[], bigint[], bigint[], bigint[], integer[], date[],
        bigint[], bigint[], bigint[], bigint[], bigint[]),
    trading_ticks.days_with(integer[], bigint, bigint),
    trading_ticks.find(text, date, integer[], bigint[], bigint, bigint),
    trading_ticks.note_conflicts(integer[], bigint[], text[]),
    trading_ticks.make_day(text, date), trading_ticks.drop_old(), trading_ticks.unsealed(),
    trading_ticks.seal(text)
TO trading_ticks_writer;
