-- Whether a column or a type has the name: PostgreSQL takes `name(row)` for `row.name`, and
-- `name(value)` for `value::name`.
--   $1  text
select true as found
where
    exists (select from pg_attribute where attname = $1::text and attnum > 0 and not attisdropped)
    or exists (select from pg_type where typname = $1::text)
