-- New days have one BRIN index over times and sequences in place of one each: a row is entered once, and
-- either column is found as before. The CHECK is only for ATTACH, which need not scan the table then;
-- the bounds of the partition say the same afterwards, and are checked anyway.
CREATE OR REPLACE FUNCTION trading_ticks.make_day(of_kind text, of_day date) RETURNS void
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
        'CONSTRAINT of_day CHECK (ts >= %s AND ts < %s))', leaf, of_kind, low, high);
    EXECUTE format(
        'CREATE INDEX ON trading_ticks.%I USING brin (ts, seq) WITH (pages_per_range = 32)', leaf);
    EXECUTE format('GRANT INSERT ON trading_ticks.%I TO trading_ticks_writer', leaf);
    PERFORM trading_ticks.without_statistics(leaf);
    EXECUTE format('ALTER TABLE trading_ticks.%I ATTACH PARTITION trading_ticks.%I '
        'FOR VALUES FROM (%s) TO (%s)', of_kind, leaf, low, high);
    EXECUTE format('ALTER TABLE trading_ticks.%I DROP CONSTRAINT of_day', leaf);
END
$$;
