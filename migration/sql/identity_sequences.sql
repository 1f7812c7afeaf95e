-- The identity columns of a table, with the sequences behind them.
select
    a.attname as column_name,
    pg_get_serial_sequence(a.attrelid::regclass::text, a.attname) as sequence
from pg_catalog.pg_attribute as a
where
    a.attrelid = format('%%I.%%I', %(schema)s::text, %(table)s::text)::regclass
    and a.attidentity <> ''
    and not a.attisdropped
