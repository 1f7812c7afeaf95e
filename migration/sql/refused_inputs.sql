-- Rows with a value that its type's input function refuses: the first such column of each, and
-- PostgreSQL's reason. The values are a VALUES list (column number, text, type) of a row.
select distinct on (s.n)
    s.n,
    v.column_number,
    e.message,
    e.sql_error_code
from {staging} as s
cross join lateral ({checked_values}) as v (column_number, value, checked_type)
cross join lateral pg_input_error_info(v.value, v.checked_type) as e
where not pg_input_is_valid(v.value, v.checked_type)
order by s.n, v.column_number
