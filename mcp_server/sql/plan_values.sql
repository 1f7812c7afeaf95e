-- How many values the statement that was prepared takes.
select cardinality(parameter_types)
from pg_prepared_statements
where name = 'planned'
