-- Adds records to the chain; where it ends then.
--   $1  text, a JSON array of objects with columns of audit.call
select audit.append($1::text::jsonb) as anchor
