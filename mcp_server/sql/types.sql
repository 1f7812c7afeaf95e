-- Types of a result's columns that asyncpg does not know: arrays, enums, composites, extensions'.
-- The columns are those that asyncpg expects of an introspection.
--   $1  oid[]
select
    type.oid,
    coalesce(format_type(element.oid, null), format_type(type.oid, null)) as name,
    'pg_catalog' as ns,
    type.typtype as kind,
    null::oid as basetype,
    element.oid as elemtype,
    format_type(element.oid, null) as elemtype_name,
    element.typdelim as elemdelim,
    null::oid as range_subtype,
    null::oid[] as attrtypoids
from pg_type as type
left join pg_type as element on type.typelem = element.oid and type.typcategory = 'A'
where type.oid = any($1::oid[])
