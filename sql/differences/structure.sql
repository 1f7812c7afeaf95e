-- What tables, columns, constraints, indexes, functions and comments lack, as statements.
--
-- Found by comparing definitions as PostgreSQL prints them, with "declared_" stripped from the
-- schemas' names. What is there and not declared (a column that healing added, a dataset_* table)
-- stays. What bears a declared name and is different is replaced, with one exception: a column's
-- type. Only a length is taken off; any other change may lose data or undo a repair, so a person
-- is warned and nothing is done.

-- Every declared table or index, with its actual counterpart if there is one.
create view declared.relation_pair as
select
    declaration.oid as declared_oid,
    actual.oid as actual_oid,
    declaration.relkind as kind,
    declaration.relname as name,
    substr(scratch.nspname, length('declared_') + 1) as schema,
    format('%I.%I', substr(scratch.nspname, length('declared_') + 1), declaration.relname) as qualified
from pg_class as declaration
inner join pg_namespace as scratch
    on scratch.oid = declaration.relnamespace and scratch.nspname like 'declared\_%'
left join pg_namespace as target
    on target.nspname = substr(scratch.nspname, length('declared_') + 1)
left join pg_class as actual
    on
        actual.relnamespace = target.oid
        and actual.relname = declaration.relname
        and actual.relkind = declaration.relkind
where declaration.relkind in ('r', 'i');

-- Every declared column of a table that exists, with its actual counterpart if there is one.
create view declared.column_pair as
select
    relation.qualified,
    relation.name as table_name,
    declaration.attname as name,
    declaration.attnum as position,
    format_type(declaration.atttypid, declaration.atttypmod) as type,
    format_type(actual.atttypid, actual.atttypmod) as actual_type,
    -- A length was put on it, the type is the declared one.
    declaration.atttypid = actual.atttypid and declaration.atttypmod = -1
    and actual.atttypmod <> -1 as is_shortened,
    declaration.attnotnull as not_null,
    actual.attnotnull as actual_not_null,
    declaration.attidentity as identity,
    actual.attidentity as actual_identity,
    pg_get_expr(declared_default.adbin, declared_default.adrelid) as default_expression,
    pg_get_expr(actual_default.adbin, actual_default.adrelid) as actual_default_expression,
    actual.attnum is null as is_missing
from declared.relation_pair as relation
inner join pg_attribute as declaration
    on
        declaration.attrelid = relation.declared_oid
        and declaration.attnum > 0 and not declaration.attisdropped
left join pg_attribute as actual
    on
        actual.attrelid = relation.actual_oid
        and actual.attname = declaration.attname
        and actual.attnum > 0 and not actual.attisdropped
left join pg_attrdef as declared_default
    on
        declared_default.adrelid = declaration.attrelid
        and declared_default.adnum = declaration.attnum
left join pg_attrdef as actual_default
    on actual_default.adrelid = actual.attrelid and actual_default.adnum = actual.attnum
where relation.kind = 'r' and relation.actual_oid is not null;

create view declared.constraint_pair as
select
    relation.qualified,
    declaration.conname as name,
    declaration.contype as kind,
    actual.conname is null as is_missing,
    replace(pg_get_constraintdef(declaration.oid), 'declared_', '') as definition,
    -- A constraint that was added NOT VALID is there; checks/ report it.
    regexp_replace(pg_get_constraintdef(actual.oid), ' NOT VALID$', '') as actual_definition
from declared.relation_pair as relation
inner join pg_constraint as declaration on declaration.conrelid = relation.declared_oid
left join pg_constraint as actual
    on actual.conrelid = relation.actual_oid and actual.conname = declaration.conname;

-- Indexes that no constraint brings with it.
create view declared.index_pair as
select
    relation.schema,
    relation.name,
    replace(pg_get_indexdef(relation.declared_oid), 'declared_', '') as definition,
    pg_get_indexdef(relation.actual_oid) as actual_definition,
    -- False for what an interrupted CREATE INDEX CONCURRENTLY leaves.
    actual.indisvalid as is_valid
from declared.relation_pair as relation
left join pg_index as actual on actual.indexrelid = relation.actual_oid
where
    relation.kind = 'i'
    and not exists (
        select from pg_constraint
        where pg_constraint.conindid = relation.declared_oid
    );

create view declared.structure_difference as
with
-- Materialized: pg_get_functiondef fails on aggregates, and would be tried on all of them.
declared_function as materialized (
    select declaration.oid
    from pg_proc as declaration
    inner join pg_namespace as scratch
        on scratch.oid = declaration.pronamespace and scratch.nspname like 'declared\_%'
),

function_pair as (
    select
        replace(pg_get_functiondef(oid), 'declared_', '') as definition,
        pg_get_functiondef(
            to_regprocedure(replace(oid::regprocedure::text, 'declared_', ''))
        ) as actual_definition
    from declared_function
),

comment_pair as (
    select
        relation.qualified,
        declared_column.attname as column_name,
        declaration.description,
        actual.description as actual_description
    from declared.relation_pair as relation
    inner join pg_description as declaration
        on declaration.objoid = relation.declared_oid and declaration.classoid = 'pg_class'::regclass
    left join pg_attribute as declared_column
        on
            declared_column.attrelid = declaration.objoid
            and declared_column.attnum = declaration.objsubid
            and declaration.objsubid > 0
    left join pg_attribute as actual_column
        on
            actual_column.attrelid = relation.actual_oid
            and actual_column.attname = declared_column.attname
    left join pg_description as actual
        on
            actual.objoid = relation.actual_oid
            and actual.classoid = 'pg_class'::regclass
            and actual.objsubid = coalesce(actual_column.attnum, 0)
)

select
    20 as step,
    format(
        'create table %s (like %I.%I including defaults including identity)',
        qualified, 'declared_' || schema, name
    ) as statement
from declared.relation_pair
where kind = 'r' and actual_oid is null

union all
-- The missing columns of a table in one statement, in the declared order: they are appended.
select
    21,
    format(
        'alter table %s %s',
        column_pair.qualified,
        string_agg(
            format('add column %I %s', column_pair.name, column_pair.type)
            || case column_pair.identity
                when 'd' then ' generated by default as identity'
                when 'a' then ' generated always as identity'
                else ''
            end
            || coalesce(
                ' default ' || coalesce(column_pair.default_expression, backfill.expression), ''
            )
            || case when column_pair.not_null then ' not null' else '' end,
            ', ' order by column_pair.position
        )
    )
from declared.column_pair
left join declared.backfill
    on
        backfill.table_name = column_pair.table_name
        and backfill.column_name = column_pair.name
where column_pair.is_missing
group by column_pair.qualified

union all
select
    22,
    format('alter table %s alter column %I drop default', column_pair.qualified, column_pair.name)
from declared.column_pair
inner join declared.backfill
    on
        backfill.table_name = column_pair.table_name
        and backfill.column_name = column_pair.name
where column_pair.is_missing and column_pair.default_expression is null

union all
select
    23,
    format('alter table %s alter column %I type %s', qualified, name, type)
from declared.column_pair
where is_shortened

union all
select
    23,
    format(
        'do %L',
        format(
            'begin raise warning %L; end',
            format(
                'column %s.%I is %s, and declared as %s: left as it is', qualified, name, actual_type, type
            )
        )
    )
from declared.column_pair
where actual_type <> type and not is_shortened

union all
select
    24,
    format(
        'alter table %s alter column %I %s not null',
        qualified, name, case when not_null then 'set' else 'drop' end
    )
from declared.column_pair
-- Part of a primary key that is missing: ADD PRIMARY KEY would do the same.
where not_null <> actual_not_null

union all
select
    25,
    format('alter table %s alter column %I set default %s', qualified, name, default_expression)
from declared.column_pair
where not is_missing and default_expression is not null and actual_default_expression is null

union all
-- An identity that is added to rows begins after the highest of them.
select
    26,
    format(
        'alter table %1$s alter column %2$I add generated by default as identity; '
        'do %3$L',
        qualified,
        name,
        format(
            'begin perform setval(pg_get_serial_sequence(%1$L, %2$L), max(%3$I)) from %1$s having max(%3$I) > 0; end',
            qualified, name, name
        )
    )
from declared.column_pair
where identity = 'd' and actual_identity = '' and actual_default_expression is null

union all
-- What depends on others goes first: foreign keys before the keys that they refer to.
select
    case kind when 'f' then 30 else 31 end,
    format('alter table %s drop constraint %I', qualified, name)
from declared.constraint_pair
where definition <> actual_definition

union all
select
    case kind when 'p' then 32 when 'u' then 33 when 'f' then 35 else 34 end,
    format('alter table %s add constraint %I %s', qualified, name, definition)
from declared.constraint_pair
where is_missing or definition <> actual_definition

union all
select
    40,
    format('drop index %I.%I', schema, name)
from declared.index_pair
where definition <> actual_definition or not is_valid

union all
select
    41,
    definition
from declared.index_pair
where actual_definition is null or definition <> actual_definition or not is_valid

union all
select
    50,
    definition
from function_pair
where definition is distinct from actual_definition

union all
select
    60,
    format(
        'comment on %s is %L',
        case
            when column_name is null then 'table ' || qualified
            else format('column %s.%I', qualified, column_name)
        end,
        description
    )
from comment_pair
where description is distinct from actual_description;
