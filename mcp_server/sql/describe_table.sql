-- A table or view with everything that belongs to it, as one row of JSON. No row: no such table.
--
-- From the catalogue rather than information_schema, which hides what the login has no right to.
--   $1  text, the schema
--   $2  text, the table
with
described as (
    select pg_class.oid
    from pg_class
    inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
    where
        pg_namespace.nspname = $1
        and pg_class.relname = $2
        and pg_class.relkind in ('r', 'p', 'v', 'm', 'f')
),

-- Every constraint of the table, and every reference to it.
constraint_of as (
    select
        pg_constraint.oid,
        pg_constraint.conname as name,
        pg_constraint.contype as kind,
        pg_constraint.conrelid,
        pg_constraint.confrelid,
        array(
            select pg_attribute.attname::text
            from unnest(pg_constraint.conkey) with ordinality as key (attnum, position)
            inner join pg_attribute
                on
                    pg_attribute.attrelid = pg_constraint.conrelid
                    and pg_attribute.attnum = key.attnum
            order by key.position
        ) as columns,
        array(
            select pg_attribute.attname::text
            from unnest(pg_constraint.confkey) with ordinality as key (attnum, position)
            inner join pg_attribute
                on
                    pg_attribute.attrelid = pg_constraint.confrelid
                    and pg_attribute.attnum = key.attnum
            order by key.position
        ) as referenced_columns
    from pg_constraint
    inner join described
        on described.oid in (pg_constraint.conrelid, pg_constraint.confrelid)
)

select
    (
        select
            coalesce(
                json_agg(
                    json_build_object(
                        'column_name', pg_attribute.attname,
                        'data_type', format_type(pg_attribute.atttypid, null),
                        'is_nullable',
                        case when pg_attribute.attnotnull then 'NO' else 'YES' end,
                        'column_default',
                        pg_get_expr(pg_attrdef.adbin, pg_attrdef.adrelid),
                        'character_maximum_length',
                        case
                            when
                                pg_attribute.atttypid
                                in ('varchar'::regtype, 'bpchar'::regtype)
                                and pg_attribute.atttypmod > 4
                                then pg_attribute.atttypmod - 4
                        end,
                        'identity',
                        case pg_attribute.attidentity
                            when 'a' then 'ALWAYS' when 'd' then 'BY DEFAULT'
                        end
                    )
                    order by pg_attribute.attnum
                ),
                '[]'
            )
        from pg_attribute
        left join pg_attrdef
            on
                pg_attribute.attrelid = pg_attrdef.adrelid
                and pg_attribute.attnum = pg_attrdef.adnum
        where
            pg_attribute.attrelid = described.oid
            and pg_attribute.attnum > 0
            and not pg_attribute.attisdropped
    ) as columns,
    coalesce(
        (
            select to_json(constraint_of.columns)
            from constraint_of
            where constraint_of.conrelid = described.oid and constraint_of.kind = 'p'
        ),
        '[]'
    ) as primary_key,
    (
        select
            coalesce(
                json_agg(
                    json_build_object('name', constraint_of.name, 'columns', constraint_of.columns)
                    order by constraint_of.name
                ),
                '[]'
            )
        from constraint_of
        where constraint_of.conrelid = described.oid and constraint_of.kind = 'u'
    ) as unique_keys,
    (
        select
            coalesce(
                json_agg(
                    json_build_object(
                        'name', constraint_of.name,
                        'columns', constraint_of.columns,
                        'table', constraint_of.confrelid::regclass::text,
                        'table_columns', constraint_of.referenced_columns
                    )
                    order by constraint_of.name
                ),
                '[]'
            )
        from constraint_of
        where constraint_of.conrelid = described.oid and constraint_of.kind = 'f'
    ) as foreign_keys,
    (
        select
            coalesce(
                json_agg(
                    json_build_object(
                        'name', constraint_of.name,
                        'columns', constraint_of.referenced_columns,
                        'table', constraint_of.conrelid::regclass::text,
                        'table_columns', constraint_of.columns
                    )
                    order by constraint_of.conrelid::regclass::text, constraint_of.name
                ),
                '[]'
            )
        from constraint_of
        where constraint_of.confrelid = described.oid and constraint_of.kind = 'f'
    ) as referenced_by,
    (
        select
            coalesce(
                json_agg(
                    json_build_object(
                        'name', constraint_of.name,
                        'definition', pg_get_constraintdef(constraint_of.oid)
                    )
                    order by constraint_of.name
                ),
                '[]'
            )
        from constraint_of
        where constraint_of.conrelid = described.oid and constraint_of.kind = 'c'
    ) as checks,
    (
        select
            coalesce(
                json_agg(
                    json_build_object(
                        'name', pg_class.relname,
                        'definition', pg_get_indexdef(pg_index.indexrelid),
                        'valid', pg_index.indisvalid
                    )
                    order by pg_class.relname
                ),
                '[]'
            )
        from pg_index
        inner join pg_class on pg_index.indexrelid = pg_class.oid
        where pg_index.indrelid = described.oid
    ) as indexes
from described
