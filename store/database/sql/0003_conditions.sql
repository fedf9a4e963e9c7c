-- Queries over a type. The client writes the condition of a filter as SQL of few words; here every
-- word is looked up in a list, constants are put in as literals, and the result is asked of rows
-- of the user alone. See decision 0092.

-- A condition or value as SQL over `d.data`, in which nothing can be named but what stands in the
-- lists below: no table, no other column, no function that does more than compute. `$1` and so on
-- stand for the values.
CREATE FUNCTION object_store.checked(p_text text, p_values text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    token CONSTANT text := $re$'([^'\\]|'')*'|E'([^'\\]|''|\\.)*'|"C"|[A-Za-z_][A-Za-z_0-9.]*|$re$
        || $re$\$[0-9]+|[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?|::|->>|->|\|\||<=|>=|<>|$re$
        || $re$[-+*/=<>~(),]$re$;
    words CONSTANT text[] := string_to_array(
        'd.data d.entity_id object_store.json_text AND OR NOT NULL TRUE FALSE IS IN BETWEEN '
        'DISTINCT FROM CASE WHEN THEN ELSE END SELECT AS OFFSET once COLLATE AT TIME ZONE '
        'NULLIF COALESCE GREATEST LEAST ABS SIGN CEIL FLOOR ROUND TRUNC MOD POWER SQRT EXP LN LOG '
        'LENGTH UPPER LOWER BTRIM SUBSTR RIGHT strpos starts_with TRIM_SCALE TO_CHAR '
        'PG_INPUT_IS_VALID EXTRACT YEAR QUARTER MONTH DAY HOUR MINUTE SECOND ISODOW '
        'boolean numeric float float8 text date timestamp timestamptz jsonb uuid', ' ');
    strange text := regexp_replace(p_text, token || '|\s+', '', 'g');
    result text;
    depth integer;
    lowest integer;
BEGIN
    IF strange <> '' THEN
        RAISE EXCEPTION 'a condition cannot contain %', quote_literal(left(strange, 40))
            USING ERRCODE = '42601';
    END IF;
    SELECT min(word) FILTER (WHERE word ~ '^[A-Za-z_]' AND word !~ '^E''' AND word <> ALL(words)
            AND word !~ '^(once[.])?v[0-9]+$'),
        min(word) FILTER (WHERE word ~ '^\$' AND (length(word) > 7
            OR substr(word, 2)::integer NOT BETWEEN 1 AND coalesce(cardinality(p_values), 0)))
    INTO strange, result FROM (
        SELECT m[1] AS word FROM regexp_matches(p_text, '(' || token || ')', 'g') m) t;
    IF coalesce(strange, result) IS NOT NULL THEN
        RAISE EXCEPTION 'a condition cannot name %', quote_literal(left(coalesce(strange, result), 40))
            USING ERRCODE = '42601';
    END IF;
    -- Put together anew with a blank between any two: nothing becomes a comment.
    SELECT string_agg(CASE WHEN word ~ '^\$' THEN quote_nullable(p_values[substr(word, 2)::integer])
            ELSE word END, ' ' ORDER BY place),
        sum(step), min(level)
    INTO result, depth, lowest FROM (
        SELECT word, place, step, sum(step) OVER (ORDER BY place) AS level FROM (
            SELECT m[1] AS word, place,
                CASE m[1] WHEN '(' THEN 1 WHEN ')' THEN -1 ELSE 0 END AS step
            FROM regexp_matches(p_text, '(' || token || ')', 'g') WITH ORDINALITY r (m, place)) t
    ) nested;
    IF depth <> 0 OR lowest < 0 THEN
        RAISE EXCEPTION 'the parentheses of a condition do not match' USING ERRCODE = '42601';
    END IF;
    RETURN result;
END $$;

-- What an index can find for a filter, as conditions on single fields that raise no error for any
-- row: `[{"field": …, "op": …, "number": …}]`, or with "text" instead of "number", with "texts" for
-- one of several, or the op "null" for a missing one. With "or_missing" a missing one will do, too.
-- An empty text where there is no such index.
CREATE FUNCTION object_store.bounds(p_bounds jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bound jsonb;
    op text;
    field text;
    condition text;
    result text := '';
BEGIN
    FOR bound IN SELECT * FROM jsonb_array_elements(p_bounds) LOOP
        op := bound ->> 'op';
        field := format('(object_store.json_text(d.data, %L) COLLATE "C")', bound ->> 'field');
        IF bound ->> 'field' IS NULL OR op IS NULL
            OR op NOT IN ('<', '<=', '=', '>=', '>', 'in', 'null') THEN
            RAISE EXCEPTION 'no bound of a field: %', left(bound::text, 80)
                USING ERRCODE = '42601';
        ELSIF to_regclass(format('object_store.%I', left('seg_by_field_' || (bound ->> 'field'), 63)))
            IS NULL THEN
            CONTINUE;
        ELSIF op = 'null' THEN
            condition := format('%s IS NULL', field);
        ELSIF op = 'in' THEN
            condition := format('%s = ANY(%L::text[])', field,
                ARRAY(SELECT * FROM jsonb_array_elements_text(bound -> 'texts')));
        ELSIF bound ? 'number' THEN
            -- Doubles of the filter round; a bound that includes its end loses none of them.
            field := format('object_store.json_value(d.data, %L)', bound ->> 'field');
            condition := format('%s OPERATOR(object_store.%s) %L::jsonb',
                field, replace(op, '=', '') || '=', to_jsonb((bound ->> 'number')::numeric));
        ELSE
            condition := format('%s %s %L', field, op, bound ->> 'text');
        END IF;
        IF bound ? 'or_missing' THEN
            condition := format('(%s OR %s IS NULL)', condition, field);
        END IF;
        result := result || ' AND ' || condition;
    END LOOP;
    RETURN result;
END $$;

-- The rows that a query is about, as a table expression `d`, and the condition on them.
CREATE FUNCTION object_store.selection(
    p_type_names text[], p_tx timestamptz, p_valid timestamptz, p_bounds jsonb, p_where text,
    p_values text[], p_after uuid
) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
-- What is tried out is asked of the index.
SET enable_seqscan = off AS $$
DECLARE
    moment timestamptz := coalesce(p_valid, object_store.store_time());
    holds text := format('valid_from <= %L AND valid_to > %1$L', moment);
    -- An index keeps its order for one name alone.
    types text := CASE WHEN p_type_names IS NULL THEN 'true'
        WHEN cardinality(p_type_names) = 1 THEN format('type_name = %L', p_type_names[1])
        ELSE format('type_name = ANY(%L::text[])', p_type_names) END;
    source text := 'object_store.seg';
    found_by text;
    is_rare boolean;
BEGIN
    IF p_tx IS NOT NULL OR p_valid IS NOT NULL THEN
        -- Of each entity, the newest version that had been recorded and holds then.
        source := format($sql$(
            SELECT %1$L::text COLLATE "C" AS viewer, n.*, n.valid_from AS event_from,
                n.valid_to AS event_to, (SELECT h.version FROM object_store.head h
                    WHERE h.owner = n.owner AND h.entity_id = n.entity_id) AS newest
            FROM (
                (SELECT DISTINCT ON (entity_id) e.* FROM object_store.event e
                 WHERE owner = %1$L AND %2$s AND %3$s AND tx_time <= %4$L
                 ORDER BY entity_id, version DESC)
                UNION ALL
                (SELECT v.* FROM object_store.acl a CROSS JOIN LATERAL (
                    SELECT e.* FROM object_store.event e
                    WHERE e.entity_id = a.entity_id AND %2$s AND %3$s AND tx_time <= %4$L
                    ORDER BY e.version DESC LIMIT 1) v
                 WHERE a.grantee = %1$L)) n
            WHERE n.event_type <> 'DELETED')$sql$,
            session_user, types, holds, coalesce(p_tx, 'infinity'));
    ELSE
        -- There are no statistics of values, which would tell of others' rows: so it is tried out
        -- among the user's own. What an index finds few of is taken from there, the rest in order.
        found_by := object_store.bounds(p_bounds);
        IF found_by <> '' THEN
            EXECUTE format('SELECT count(*) < 2000 FROM (SELECT FROM object_store.seg d '
                'WHERE d.viewer = %L%s LIMIT 2000) f', session_user, found_by) INTO is_rare;
            IF is_rare THEN
                source := format('(SELECT * FROM object_store.seg d WHERE d.viewer = %L%s OFFSET 0)',
                    session_user, found_by);
            END IF;
        END IF;
    END IF;
    RETURN format('%s d WHERE viewer = %L AND %s AND %s%s%s', source, session_user, types, holds,
        CASE WHEN p_after IS NOT NULL THEN format(' AND d.entity_id > %L', p_after) END,
        -- In a CASE: whatever the condition costs or raises, it is asked of no row of others.
        CASE WHEN p_where IS NOT NULL THEN format(' AND CASE WHEN d.viewer = %L THEN (%s) END',
            session_user, object_store.checked(p_where, p_values)) END);
END $$;

-- Has `selection` found that an index of a field leads to few rows? Then it is to be used.
CREATE FUNCTION object_store.is_rare(p_source text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT starts_with(p_source, '(SELECT * FROM object_store.seg')
$$;

-- A page of the values of a type that pass a condition, now or as of two times. `p_order` are
-- values to order by, each followed by ASC or DESC; entities that are alike in them follow each
-- other by their id. Without an order, `p_after` is the id after which the page begins.
CREATE FUNCTION object_store.present(
    p_type_names text[], p_tx timestamptz, p_valid timestamptz, p_bounds jsonb, p_where text,
    p_values text[], p_order text[], p_after uuid, p_limit bigint
) RETURNS TABLE (
    entity_id uuid, version integer, event_type text, owner text, updated_by text,
    tx_time timestamptz, valid_from timestamptz, valid_to timestamptz, state text, data text,
    newest integer, keys text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET jit = off SET max_parallel_workers_per_gather = 0
SET enable_seqscan = on SET enable_indexscan = on SET enable_indexonlyscan = on
SET enable_bitmapscan = on SET enable_tidscan = on SET enable_sort = on
SET enable_incremental_sort = on SET enable_hashagg = on SET enable_hashjoin = on
SET enable_mergejoin = on SET enable_nestloop = on SET enable_material = on
SET enable_memoize = on SET random_page_cost = 4 SET seq_page_cost = 1 SET cpu_tuple_cost = 0.01
SET cpu_index_tuple_cost = 0.005 SET cpu_operator_cost = 0.0025 SET effective_cache_size = '4GB'
SET debug_print_plan = off SET debug_print_parse = off SET debug_print_rewritten = off AS $$
DECLARE
    keys text[] := '{}';
    orders text[] := '{}';
    source text := object_store.selection(
        p_type_names, p_tx, p_valid, p_bounds, p_where, p_values, p_after);
    i integer;
BEGIN
    IF object_store.is_rare(source) THEN
        PERFORM set_config('enable_seqscan', 'off', true);
    END IF;
    FOR i IN 1 .. coalesce(cardinality(p_order), 0) / 2 LOOP
        IF p_order[2 * i] NOT IN ('ASC', 'DESC') THEN
            RAISE EXCEPTION 'no direction of an order: %', p_order[2 * i] USING ERRCODE = '42601';
        END IF;
        keys := keys || format('(%s)', object_store.checked(p_order[2 * i - 1], p_values));
        orders := orders || format('k%s %s', i, p_order[2 * i]);
    END LOOP;
    RETURN QUERY EXECUTE format($sql$
        SELECT p.entity_id, p.version, p.event_type, p.owner, p.updated_by, p.tx_time,
            p.event_from, p.event_to, p.state, p.data::text, p.newest, ARRAY[%s]::text[]
        FROM (SELECT d.*%s FROM %s ORDER BY %s d.entity_id%s) p ORDER BY %4$s entity_id$sql$,
        (SELECT string_agg(format('p.k%s::text', n), ', ' ORDER BY n)
         FROM generate_series(1, cardinality(keys)) n),
        (SELECT string_agg(format(', %s AS k%s', key, n), '' ORDER BY n)
         FROM unnest(keys) WITH ORDINALITY u (key, n)),
        source,
        (SELECT string_agg(o || ', ', '' ORDER BY n) FROM unnest(orders) WITH ORDINALITY u (o, n)),
        CASE WHEN p_limit IS NOT NULL THEN format(' LIMIT %s', p_limit) END);
END $$;

-- How many values there are of a type, or of all.
CREATE FUNCTION object_store.count_present(
    p_type_names text[], p_tx timestamptz, p_valid timestamptz, p_bounds jsonb, p_where text,
    p_values text[]
) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan SET jit = off SET max_parallel_workers_per_gather = 0
SET enable_seqscan = on SET enable_indexscan = on SET enable_indexonlyscan = on
SET enable_bitmapscan = on SET enable_tidscan = on SET enable_sort = on
SET enable_incremental_sort = on SET enable_hashagg = on SET enable_hashjoin = on
SET enable_mergejoin = on SET enable_nestloop = on SET enable_material = on
SET enable_memoize = on SET random_page_cost = 4 SET seq_page_cost = 1 SET cpu_tuple_cost = 0.01
SET cpu_index_tuple_cost = 0.005 SET cpu_operator_cost = 0.0025 SET effective_cache_size = '4GB'
SET debug_print_plan = off SET debug_print_parse = off SET debug_print_rewritten = off AS $$
DECLARE
    source text := object_store.selection(
        p_type_names, p_tx, p_valid, p_bounds, p_where, p_values, NULL);
    result bigint;
BEGIN
    IF object_store.is_rare(source) THEN
        PERFORM set_config('enable_seqscan', 'off', true);
    END IF;
    EXECUTE 'SELECT count(*) FROM ' || source INTO result;
    RETURN result;
END $$;
