-- Foreign keys that are missing, or were never validated, with rows that break them. Read are these tables alone,
-- and of a healthy database none. For those who see every session: to others a parent may only be invisible.
--   $1  text: JSON, the foreign keys that sql/ declares: name, child, columns, parent, parent_columns
--   $2  text: a bigint, bytes of both tables from which on they are not read for this
--   $3  text: a bigint, rows up to which they are counted
with seen as (
    select coalesce((select every_session from app.context()), false) as every_session
),

broken as (
    select
        k.conname::text as name,
        k.conrelid::regclass as child,
        k.confrelid::regclass as parent,
        'not validated' as state,
        array(
            select a.attname::text
            from unnest(k.conkey) with ordinality as part (number, position)
            inner join pg_attribute as a on part.number = a.attnum and k.conrelid = a.attrelid
            order by part.position
        ) as columns,
        array(
            select a.attname::text
            from unnest(k.confkey) with ordinality as part (number, position)
            inner join pg_attribute as a on part.number = a.attnum and k.confrelid = a.attrelid
            order by part.position
        ) as parent_columns
    from pg_constraint as k
    where
        k.contype = 'f' and not k.convalidated and k.connamespace = 'public'::regnamespace
        and k.conparentid = 0
    union all
    select
        declared.name,
        to_regclass(declared.child) as child,
        to_regclass(declared.parent) as parent,
        'missing' as state,
        declared.columns,
        declared.parent_columns
    from
        jsonb_to_recordset($1::text::jsonb)
            as declared (name text, child text, columns text[], parent text, parent_columns text[])
    where
        not exists (
            select from pg_constraint as k
            where k.conrelid = to_regclass(declared.child) and k.conname = declared.name
        )
        -- Of both tables all columns are there.
        and cardinality(declared.columns) = (
            select count(*) from pg_attribute as a
            where
                a.attrelid = to_regclass(declared.child) and a.attname = any(declared.columns)
                and not a.attisdropped
        )
        and cardinality(declared.parent_columns) = (
            select count(*) from pg_attribute as a
            where
                a.attrelid = to_regclass(declared.parent) and a.attname = any(declared.parent_columns)
                and not a.attisdropped
        )
),

counted as (
    select
        broken.*,
        case
            when pg_table_size(broken.child) + pg_table_size(broken.parent) < $2::text::bigint
                then ops.orphans(
                    broken.child, broken.columns, broken.parent, broken.parent_columns, $3::text::bigint
                )
        end as rows
    from broken, seen
    where
        seen.every_session
        and has_table_privilege(broken.child, 'select') and has_table_privilege(broken.parent, 'select')
)

select
    format('public.%I', name) as about,
    jsonb_build_object(
        'table', child::text, 'columns', to_jsonb(columns), 'references', parent::text, 'key', state,
        'rows', rows, 'counted_up_to', $3::text::bigint
    ) as evidence,
    null as fix
from counted
-- NULL: the tables are too large to be read for this.
where rows > 0 or rows is null
order by about
