-- Indexes that are the same as another one. The one that stays backs a constraint, is unique, declared, or the older.
--   $1  text: JSON, names of the indexes of schema public that sql/ declares
with described as (
    select
        x.indexrelid,
        x.indrelid,
        n.nspname,
        i.relname,
        i.relowner,
        n.nspname = 'public' and $1::text::jsonb ? i.relname as declared,
        concat_ws(
            '/', x.indkey, x.indclass, x.indcollation, x.indoption, i.relam, coalesce(pg_get_expr(x.indexprs, x.indrelid), ''),
            coalesce(pg_get_expr(x.indpred, x.indrelid), '')
        ) as shape,
        exists(select from pg_constraint as c where c.conindid = x.indexrelid) as backs_constraint,
        x.indisunique
    from pg_index as x
    inner join pg_class as i on x.indexrelid = i.oid
    inner join pg_namespace as n on i.relnamespace = n.oid
    where
        x.indisvalid and i.relkind = 'i' and n.nspname not in ('pg_catalog', 'pg_toast')
        and has_table_privilege(x.indrelid, 'select')
),

ranked as (
    select
        *,
        first_value(relname) over same as stays,
        row_number() over same as place
    from described
    window same as (
        partition by indrelid, shape order by backs_constraint desc, indisunique desc, declared desc, indexrelid asc
        rows between unbounded preceding and unbounded following
    )
)

select
    format('%I.%I', nspname, relname) as about,
    jsonb_build_object(
        'table', indrelid::regclass::text, 'same_as', stays, 'bytes', pg_relation_size(indexrelid), 'declared', declared
    ) as evidence,
    format('drop index concurrently %I.%I', nspname, relname) as fix,
    nspname = 'public' and not declared and pg_has_role('mcp_heal', relowner, 'usage') as alone
from ranked
where place > 1 and not backs_constraint and not indisunique
order by 1
