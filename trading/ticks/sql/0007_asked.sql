-- What programs read: the ticks of the series and times that the session has set. OFFSET 0 keeps every
-- other condition of a query above the scan and out of reach of hidden rows, so that prices and sizes
-- may be bigint as they are kept: to numeric and back took as long as all the rest of a read.
CREATE FUNCTION trading_ticks.asked() RETURNS integer[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY(
        SELECT unnest(nullif(current_setting('trading_ticks.series', true), '')::integer[])
        INTERSECT SELECT unnest(trading_ticks.allowed()))
$$;

-- A bound of the times: `trading_ticks.low` or `trading_ticks.high`; null, and no rows, where none is set.
CREATE FUNCTION trading_ticks.asked_time(of_setting text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT nullif(current_setting(of_setting, true), '')::bigint
$$;

CREATE VIEW trading_ticks.asked_trades WITH (security_barrier) AS
    SELECT ts, seq, price, size, received, series
    FROM trading_ticks.trade
    WHERE series = ANY ((SELECT trading_ticks.asked())::integer[])
        AND ts >= (SELECT trading_ticks.asked_time('trading_ticks.low'))
        AND ts < (SELECT trading_ticks.asked_time('trading_ticks.high'))
    OFFSET 0;
CREATE VIEW trading_ticks.asked_quotes WITH (security_barrier) AS
    SELECT ts, seq, bid, ask, bid_size, ask_size, received, series
    FROM trading_ticks.quote
    WHERE series = ANY ((SELECT trading_ticks.asked())::integer[])
        AND ts >= (SELECT trading_ticks.asked_time('trading_ticks.low'))
        AND ts < (SELECT trading_ticks.asked_time('trading_ticks.high'))
    OFFSET 0;
REVOKE ALL ON FUNCTION trading_ticks.asked(), trading_ticks.asked_time(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trading_ticks.asked(), trading_ticks.asked_time(text)
TO trading_ticks_reader;
GRANT SELECT ON trading_ticks.asked_trades, trading_ticks.asked_quotes TO trading_ticks_reader;
