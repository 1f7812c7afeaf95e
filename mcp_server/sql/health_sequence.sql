-- Sequences whose numbers run out: their own, or those that the column can hold.
--   $1  text: a double precision, the share from which on it matters
select
    name as about,
    jsonb_build_object('used', used, 'most', most) as evidence,
    null as fix
from ops.sequence_use()
where used >= $1::text::double precision * most
order by 1
