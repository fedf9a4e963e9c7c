-- Prices and sizes as numeric. Its comparisons are not leakproof, so that PostgreSQL asks a reader's
-- condition of rows alone that the reader may see; EXPLAIN ANALYZE tells nothing of hidden ones.
DROP VIEW trading_ticks.trades, trading_ticks.quotes;
CREATE VIEW trading_ticks.trades WITH (security_barrier) AS
    SELECT ts, seq, price::numeric AS price, size::numeric AS size, received, series
    FROM trading_ticks.trade
    WHERE series = ANY ((SELECT trading_ticks.allowed())::integer[]);
CREATE VIEW trading_ticks.quotes WITH (security_barrier) AS
    SELECT ts, seq, bid::numeric AS bid, ask::numeric AS ask, bid_size::numeric AS bid_size,
        ask_size::numeric AS ask_size, received, series
    FROM trading_ticks.quote
    WHERE series = ANY ((SELECT trading_ticks.allowed())::integer[]);
GRANT SELECT ON trading_ticks.trades, trading_ticks.quotes TO trading_ticks_reader;
