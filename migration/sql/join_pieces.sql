-- Long values come in pieces (migration/load/rendering.py): each goes back into its row.
update {staging} as s
set {staged_column} = joined.value
from (
    select
        n,
        string_agg(piece, '' order by part) as value
    from {pieces}
    where table_number = %(table_number)s and column_number = %(column_number)s
    group by n
) as joined
where s.n = joined.n
