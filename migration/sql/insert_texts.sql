-- Rows from texts, column by column. A cast would cut a text that is too long for its column; the
-- assignment that follows it refuses it.
insert into {relation} ({names}) overriding system value
select {values}
from unnest({texts}) as g ({fields})
