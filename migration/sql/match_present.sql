-- Loaded rows that equal a row that was there before leave again, one for one; the row that was
-- there is marked as the source's too. The answer is their content by bucket (table_buckets.sql).
with digests as materialized (
    select
        d.row_id,
        d.digest,
        e.row_id is not null as was_there
    from ({digests}) as d
    left join {places} as e on d.row_id = e.row_id
),

numbered as (
    select
        row_id,
        digest,
        was_there,
        row_number() over (partition by digest, was_there order by row_id) as number
    from digests
),

pair as (
    select
        before.row_id as place,
        loaded.row_id as loaded_row_id,
        loaded.digest
    from numbered as before
    inner join numbered as loaded on before.digest = loaded.digest and before.number = loaded.number
    where before.was_there and not loaded.was_there
),

marked as (
    update {places} as e
    set matched = true
    from pair
    where e.row_id = pair.place
),

removed as (
    delete from {relation} as t
    using pair
    where t.ctid = pair.loaded_row_id
    returning pair.digest
)

select
    ('x' || substr(digest, 14, 3))::bit(12)::int as bucket,
    count(*),
    sum(('x' || left(digest, 16))::bit(64)::bigint) as total
from removed
group by bucket
