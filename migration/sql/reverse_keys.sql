-- Logged keys as values of their columns.
select distinct {casts}
from unnest({texts}) as g ({names})
