-- Whether this transaction sees the rows of every session.
select coalesce(every_session, false) as sees
from app.context()
