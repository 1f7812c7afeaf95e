-- Closes the transaction as a call; how many rows it wrote, and the hash of their images.
--   $1  text, as JSON what a further call with the same idempotency_key is answered
select
    affected,
    images_sha256
from audit.end_write($1::text::jsonb)
