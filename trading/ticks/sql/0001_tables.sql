-- Symbols, where their ticks came from, and with how many decimal places they are kept.
CREATE TABLE trading_ticks.symbol (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
);

-- A symbol's ticks of one source. `last` is the highest source sequence that was kept, `arrivals`
-- counts the ticks that came without one.
CREATE TABLE trading_ticks.stream (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol integer NOT NULL REFERENCES trading_ticks.symbol,
    source text COLLATE "C" NOT NULL,
    last bigint NOT NULL DEFAULT -1,
    arrivals bigint NOT NULL DEFAULT 0,
    UNIQUE (symbol, source)
) WITH (fillfactor = 50);

-- Ticks name their series. A stream whose numbers need more decimal places than before gets another
-- series; what is kept already stays as it is.
CREATE TABLE trading_ticks.series (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream integer NOT NULL REFERENCES trading_ticks.stream,
    price_digits smallint NOT NULL CHECK (price_digits BETWEEN 0 AND 9),
    size_digits smallint NOT NULL CHECK (size_digits BETWEEN 0 AND 9),
    UNIQUE (stream, price_digits, size_digits)
);

-- What a day holds of a stream: counts, and where source sequences lie.
CREATE TABLE trading_ticks.span (
    stream integer NOT NULL REFERENCES trading_ticks.stream,
    day date NOT NULL,
    trades bigint NOT NULL,
    quotes bigint NOT NULL,
    low bigint,
    high bigint,
    newest bigint NOT NULL,
    PRIMARY KEY (stream, day)
) WITH (fillfactor = 50);

-- Times are nanoseconds since 1970 UTC. A sequence below zero is the store's own numbering.
CREATE TABLE trading_ticks.trade (
    ts bigint NOT NULL,
    seq bigint NOT NULL,
    price bigint NOT NULL,
    size bigint NOT NULL,
    received bigint,
    series integer NOT NULL
) PARTITION BY RANGE (ts);

CREATE TABLE trading_ticks.quote (
    ts bigint NOT NULL,
    seq bigint NOT NULL,
    bid bigint,
    ask bigint,
    bid_size bigint,
    ask_size bigint,
    received bigint,
    series integer NOT NULL
) PARTITION BY RANGE (ts);

-- Ticks that came under the sequence of another one.
CREATE TABLE trading_ticks.conflict (
    stream integer NOT NULL REFERENCES trading_ticks.stream,
    seq bigint NOT NULL,
    refused text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (stream, seq, refused)
);

CREATE TABLE trading_ticks.setting (
    name text PRIMARY KEY,
    value bigint
);
INSERT INTO trading_ticks.setting VALUES ('keep_days', NULL);

-- Who may read what; a missing symbol means all of them, later ones too.
CREATE TABLE trading_ticks.reader (
    grantee text COLLATE "C" NOT NULL,
    symbol integer REFERENCES trading_ticks.symbol,
    UNIQUE NULLS NOT DISTINCT (grantee, symbol)
);
