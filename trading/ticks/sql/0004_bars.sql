-- Bars that are made in the same way of one symbol's ticks. An empty calendar means none, an empty
-- source all of them. `newest` is the latest time at which a version was recorded; prices and
-- volumes have up to so many decimal places.
CREATE TABLE trading_ticks.bar_series (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol integer NOT NULL REFERENCES trading_ticks.symbol,
    run text COLLATE "C" NOT NULL,
    "interval" text COLLATE "C" NOT NULL,
    calendar text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    close_grace bigint NOT NULL,
    newest timestamptz NOT NULL DEFAULT '-infinity',
    price_digits smallint NOT NULL DEFAULT 0,
    size_digits smallint NOT NULL DEFAULT 0,
    UNIQUE (symbol, run, "interval", calendar, source, close_grace)
) WITH (fillfactor = 50);

-- Every version of every bar. Valid from `start` to `end` (nanoseconds since 1970 UTC), known from
-- `recorded` until the next version.
CREATE TABLE trading_ticks.bar (
    series integer NOT NULL,
    start bigint NOT NULL,
    version integer NOT NULL,
    "end" bigint NOT NULL,
    open numeric,
    high numeric,
    low numeric,
    close numeric,
    volume numeric NOT NULL,
    count bigint NOT NULL,
    vwap double precision,
    notional numeric,
    state text COLLATE "C" NOT NULL,
    bid double precision,
    ask double precision,
    recorded timestamptz NOT NULL,
    PRIMARY KEY (series, start, version)
);
SELECT trading_ticks.without_statistics('bar');

-- The series of bars of symbols, those that are missing made anew.
CREATE FUNCTION trading_ticks.register_bars(
    names text[], of_run text, of_interval text, of_calendar text, of_source text, of_grace bigint
) RETURNS TABLE (name text, series integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7021415120);
    INSERT INTO trading_ticks.symbol (name)
        SELECT n FROM unnest(names) n
        WHERE NOT EXISTS (SELECT FROM trading_ticks.symbol s WHERE s.name = n);
    INSERT INTO trading_ticks.bar_series (symbol, run, "interval", calendar, source, close_grace)
        SELECT s.id, of_run, of_interval, of_calendar, of_source, of_grace
        FROM trading_ticks.symbol s WHERE s.name = ANY (names)
        ON CONFLICT DO NOTHING;
    RETURN QUERY SELECT s.name, b.id
        FROM trading_ticks.bar_series b JOIN trading_ticks.symbol s ON s.id = b.symbol
        WHERE s.name = ANY (names) AND b.run = of_run AND b."interval" = of_interval
            AND b.calendar = of_calendar AND b.source = of_source AND b.close_grace = of_grace;
END
$$;

-- Keep bars, each bar once in a call; returns how many versions are new. A version is new where its
-- number is above the newest kept one, or no kept version has its figures. Bars without a trade are
-- alike whatever price they show.
CREATE FUNCTION trading_ticks.keep_bars(
    of_series integer[], starts bigint[], versions integer[], ends bigint[], opens numeric[],
    highs numeric[], lows numeric[], closes numeric[], volumes numeric[], counts bigint[],
    vwaps double precision[], notionals numeric[], states text[], bids double precision[],
    asks double precision[]
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz;
    kept bigint;
BEGIN
    -- Locked before the clock is read: `settle_bars` waits for whoever holds this lock.
    LOCK TABLE trading_ticks.bar IN ROW EXCLUSIVE MODE;
    PERFORM FROM trading_ticks.bar_series s WHERE s.id = ANY (of_series)
        ORDER BY s.id FOR NO KEY UPDATE;
    SELECT greatest(clock_timestamp(), max(s.newest) + interval '1 microsecond') INTO moment
        FROM trading_ticks.bar_series s WHERE s.id = ANY (of_series);
    WITH given AS (
        SELECT * FROM unnest(of_series, starts, versions, ends, opens, highs, lows, closes,
            volumes, counts, vwaps, notionals, states, bids, asks)
            AS g (series, start, version, "end", open, high, low, close, volume, count, vwap,
                notional, state, bid, ask)
    ), compared AS (
        SELECT g.*, (
            SELECT max(b.version) FROM trading_ticks.bar b
            WHERE b.series = g.series AND b.start = g.start
        ) AS newest
        FROM given g
    )
    INSERT INTO trading_ticks.bar (series, start, version, "end", open, high, low, close, volume,
        count, vwap, notional, state, bid, ask, recorded)
    SELECT c.series, c.start, greatest(coalesce(c.newest, 0) + 1, c.version), c."end", c.open,
        c.high, c.low, c.close, c.volume, c.count, c.vwap, c.notional,
        CASE WHEN c.newest IS NOT NULL AND c.state = 'final' THEN 'revised' ELSE c.state END,
        c.bid, c.ask, moment
    FROM compared c
    WHERE c.newest IS NULL OR c.version > c.newest OR NOT EXISTS (
        SELECT FROM trading_ticks.bar b
        WHERE b.series = c.series AND b.start = c.start AND b.count = c.count
            AND (c.count = 0 OR (b."end", b.open, b.high, b.low, b.close, b.volume, b.notional)
                IS NOT DISTINCT FROM
                (c."end", c.open, c.high, c.low, c.close, c.volume, c.notional)));
    GET DIAGNOSTICS kept = ROW_COUNT;
    IF kept > 0 THEN
        UPDATE trading_ticks.bar_series s SET newest = moment,
            price_digits = greatest(s.price_digits, d.price),
            size_digits = greatest(s.size_digits, d.size)
        FROM (
            SELECT g.series, max(greatest(scale(g.open), scale(g.high), scale(g.low),
                scale(g.close))) AS price, max(scale(g.volume)) AS size
            FROM unnest(of_series, opens, highs, lows, closes, volumes)
                AS g (series, open, high, low, close, volume)
            GROUP BY g.series
        ) d WHERE s.id = d.series;
    END IF;
    RETURN kept;
END
$$;

-- Wait until nobody can still record bars at a time that has passed: what was known then is settled.
CREATE FUNCTION trading_ticks.settle_bars(OUT settled_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Transactions, not sessions: the next one of a busy writer reads the clock later.
    writers text[];
    waited_from timestamptz := clock_timestamp();
BEGIN
    settled_at := waited_from;
    SELECT array_agg(virtualtransaction) INTO writers FROM pg_locks
        WHERE relation = 'trading_ticks.bar'::regclass AND mode = 'RowExclusiveLock' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND pid <> pg_backend_pid();
    WHILE EXISTS (
        SELECT FROM pg_locks WHERE virtualtransaction = ANY (writers)
        AND relation = 'trading_ticks.bar'::regclass AND mode = 'RowExclusiveLock'
    ) LOOP
        IF clock_timestamp() > waited_from + interval '10 seconds' THEN
            RAISE EXCEPTION 'a writer of bars holds its transaction open; ask again'
                USING ERRCODE = 'lock_not_available';
        END IF;
        PERFORM pg_sleep(0.001);
    END LOOP;
END
$$;

-- May the session's user read a symbol?
CREATE FUNCTION trading_ticks.may_read(of_symbol integer) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
            SELECT FROM trading_ticks.reader r
            WHERE r.grantee = session_user::text COLLATE "C"
            AND (r.symbol IS NULL OR r.symbol = of_symbol))
        OR trading_ticks.is_owner()
$$;

-- The series of bars of symbols (null: of all) that the session's user may read.
CREATE FUNCTION trading_ticks.readable_bars(
    names text[], of_run text, of_interval text, of_calendar text, of_source text, of_grace bigint
) RETURNS TABLE (name text, series integer, price_digits integer, size_digits integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.name, b.id, b.price_digits::integer, b.size_digits::integer
    FROM trading_ticks.bar_series b JOIN trading_ticks.symbol s ON s.id = b.symbol
    WHERE (names IS NULL OR s.name = ANY (names)) AND b.run = of_run
        AND b."interval" = of_interval AND b.calendar = of_calendar AND b.source = of_source
        AND b.close_grace = of_grace AND trading_ticks.may_read(b.symbol)
    ORDER BY s.name
$$;

-- Bars of readable series that start in [low, high): of each the newest version that was known at a
-- time (null: now), or all versions until then. A function, and not a view: nothing that is asked of
-- its rows is asked of hidden ones.
CREATE FUNCTION trading_ticks.read_bars(
    of_series integer[], from_start bigint, to_start bigint, known_at timestamptz, all_versions boolean
) RETURNS SETOF trading_ticks.bar
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    allowed integer[];
BEGIN
    SELECT array_agg(b.id) INTO allowed FROM trading_ticks.bar_series b
        WHERE b.id = ANY (of_series) AND trading_ticks.may_read(b.symbol);
    IF all_versions THEN
        RETURN QUERY SELECT b.* FROM trading_ticks.bar b
            WHERE b.series = ANY (allowed) AND b.start >= from_start AND b.start < to_start
                AND (known_at IS NULL OR b.recorded <= known_at)
            ORDER BY b.series, b.start, b.version;
    ELSE
        RETURN QUERY SELECT DISTINCT ON (b.series, b.start) b.* FROM trading_ticks.bar b
            WHERE b.series = ANY (allowed) AND b.start >= from_start AND b.start < to_start
                AND (known_at IS NULL OR b.recorded <= known_at)
            ORDER BY b.series, b.start, b.version DESC;
    END IF;
END
$$;

-- Which kinds of bars are kept of readable symbols, how many versions, from when to when.
CREATE FUNCTION trading_ticks.held_bars() RETURNS TABLE (
    name text, run text, "interval" text, calendar text, source text, close_grace bigint,
    versions bigint, first bigint, last bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.name, b.run, b."interval", b.calendar, b.source, b.close_grace, h.versions, h.first,
        h.last
    FROM trading_ticks.bar_series b JOIN trading_ticks.symbol s ON s.id = b.symbol
    CROSS JOIN LATERAL (
        SELECT count(*) AS versions, min(r.start) AS first, max(r."end") AS last
        FROM trading_ticks.bar r WHERE r.series = b.id) h
    WHERE trading_ticks.may_read(b.symbol)
    ORDER BY s.name, b.id
$$;

REVOKE ALL ON FUNCTION
    trading_ticks.register_bars(text[], text, text, text, text, bigint),
    trading_ticks.keep_bars(integer[], bigint[], integer[], bigint[], numeric[], numeric[],
        numeric[], numeric[], numeric[], bigint[], double precision[], numeric[], text[],
        double precision[], double precision[]),
    trading_ticks.settle_bars(),
    trading_ticks.readable_bars(text[], text, text, text, text, bigint),
    trading_ticks.may_read(integer),
    trading_ticks.read_bars(integer[], bigint, bigint, timestamptz, boolean),
    trading_ticks.held_bars()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    trading_ticks.settle_bars(),
    trading_ticks.readable_bars(text[], text, text, text, text, bigint),
    trading_ticks.may_read(integer),
    trading_ticks.read_bars(integer[], bigint, bigint, timestamptz, boolean),
    trading_ticks.held_bars()
TO trading_ticks_reader, trading_ticks_writer;
GRANT EXECUTE ON FUNCTION
    trading_ticks.register_bars(text[], text, text, text, text, bigint),
    trading_ticks.keep_bars(integer[], bigint[], integer[], bigint[], numeric[], numeric[],
        numeric[], numeric[], numeric[], bigint[], double precision[], numeric[], text[],
        double precision[], double precision[])
TO trading_ticks_writer;
