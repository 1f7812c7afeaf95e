-- The chain, as it is hashed; see audit.append() in sql/87_audit.sql.
select
    position,
    jsonb_strip_nulls(to_jsonb(call) - array['previous', 'hash'])::text as content,
    previous,
    hash,
    archived_position,
    archived_hash
from audit.call
order by position
