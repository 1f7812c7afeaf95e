-- The statements that put the rows of a table back, and where a row cannot be told from another, none.
-- No row: the table is gone.
--
-- Each takes $1, a JSON array of effects {"before": …, "after": …} ("present": of keys), and most of them $2,
-- the columns that have come since. It answers the primary keys of the rows that it changed or found: those
-- after the call, of deleted rows those before. A row is changed only where it is still as the call left it.
-- Columns that PostgreSQL computes are left to it.
--   $1  text, the table's qualified name
--   $2  text[], the columns that have come since
with
target as (
    select
        pg_class.oid,
        pg_class.oid::regclass::text as name
    from pg_class
    where pg_class.oid = to_regclass($1) and pg_class.relkind in ('r', 'p')
),

col as (
    select
        pg_attribute.attrelid as table_oid,
        pg_attribute.attnum as position,
        pg_attribute.attname::text as name,
        quote_ident(pg_attribute.attname) as quoted,
        pg_attribute.attgenerated = '' as is_stored,
        pg_attribute.attgenerated = '' and pg_attribute.attidentity <> 'a' as is_settable
    from pg_attribute
    inner join target on target.oid = pg_attribute.attrelid
    where pg_attribute.attnum > 0 and not pg_attribute.attisdropped
),

primary_key as (
    select
        pg_index.indrelid as table_oid,
        array_agg(col.name order by col.position) as names,
        string_agg(format('t.%1$s = wanted.%1$s', col.quoted), ' and ' order by col.position) as is_same,
        string_agg(format('%L, wanted.%s', col.name, col.quoted), ', ' order by col.position) as wanted,
        string_agg(format('%L, became.%s', col.name, col.quoted), ', ' order by col.position) as became,
        string_agg(format('%L, t.%s', col.name, col.quoted), ', ' order by col.position) as present
    from pg_index
    inner join col on col.table_oid = pg_index.indrelid and col.position = any(pg_index.indkey)
    where pg_index.indisprimary
    group by pg_index.indrelid
)

select
    target.name as table_name,
    primary_key.names as key,
    (
        select array_agg(col.name order by col.position) from col
    ) as columns,
    format(
        'delete from %1$s as t using jsonb_array_elements($1::jsonb) as image (value)
         cross join lateral jsonb_populate_record(null::%1$s, image.value -> ''after'') as wanted
         where %2$s and to_jsonb(t) - $2::text[] = image.value -> ''after''
         returning jsonb_build_object(%3$s)::text',
        target.name, primary_key.is_same, primary_key.wanted
    ) as undo_insert,
    format(
        'update %1$s as t set %4$s from jsonb_array_elements($1::jsonb) as image (value)
         cross join lateral jsonb_populate_record(null::%1$s, image.value -> ''after'') as wanted
         cross join lateral jsonb_populate_record(null::%1$s, image.value -> ''before'') as was
         where %2$s and to_jsonb(t) - $2::text[] = image.value -> ''after''
         returning jsonb_build_object(%3$s)::text',
        target.name, primary_key.is_same, primary_key.wanted,
        (
            select string_agg(format('%1$s = was.%1$s', col.quoted), ', ' order by col.position) from col
            where col.is_settable and col.name <> all($2::text[])
        )
    ) as undo_update,
    format(
        'insert into %1$s as t (%3$s) overriding system value
         select %4$s from jsonb_array_elements($1::jsonb) as image (value)
         cross join lateral jsonb_populate_record(null::%1$s, image.value -> ''before'') as was
         on conflict do nothing returning jsonb_build_object(%2$s)::text',
        target.name, primary_key.present,
        (
            select string_agg(col.quoted, ', ' order by col.position) from col
            where col.is_stored and col.name <> all($2::text[])
        ),
        (
            select string_agg('was.' || col.quoted, ', ' order by col.position) from col
            where col.is_stored and col.name <> all($2::text[])
        )
    ) as undo_delete,
    format(
        'select jsonb_build_object(%3$s)::text as key from jsonb_array_elements($1::jsonb) as image (value)
         cross join lateral jsonb_populate_record(null::%1$s, image.value -> ''before'') as wanted
         cross join lateral jsonb_populate_record(null::%1$s, image.value -> ''after'') as became
         inner join %1$s as t on %2$s
         where to_jsonb(t) - $2::text[] = image.value -> ''before''',
        target.name, primary_key.is_same, primary_key.became
    ) as restored,
    format(
        'select jsonb_build_object(%3$s)::text as key from jsonb_array_elements($1::jsonb) as wanted_key (value)
         cross join lateral jsonb_populate_record(null::%1$s, wanted_key.value) as wanted
         inner join %1$s as t on %2$s',
        target.name, primary_key.is_same, primary_key.wanted
    ) as present
from target
left join primary_key on primary_key.table_oid = target.oid
