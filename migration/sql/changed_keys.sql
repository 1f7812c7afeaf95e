-- Keys as the values of their columns; what is no value of its column's type is in no row.
select {casts}
from unnest({texts}) as g ({names})
where {valid}
