-- Databases whose oldest transaction, or oldest multixact, comes near the end of the numbers there are.
--   $1  text: a double precision, the share of the numbers from which on it matters
select
    datname as about,
    jsonb_build_object(
        'transactions', age(datfrozenxid), 'multixacts', mxid_age(datminmxid), 'most', 2147483648
    ) as evidence,
    null as fix
from pg_database
where greatest(age(datfrozenxid), mxid_age(datminmxid)) > $1::text::double precision * 2147483648 and datallowconn
order by 1
