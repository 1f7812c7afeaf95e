-- Removes the records up to the checkpoint's position.
with removed as (
    delete from audit.call
    where position <= %(position)s
    returning position
)

select count(*) as records
from removed
