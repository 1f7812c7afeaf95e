-- Rows without a parent: counted for the health check, and moved into quarantine where healing was told so.
--
-- SECURITY INVOKER, as 84_quarantine.sql says why. PL/pgSQL, since the tables are not known before.

set local search_path = 'declared_ops', 'pg_catalog';

-- The condition by which a row, alias referring, has no parent by a foreign key.
create function orphan_condition(columns text[], parent regclass, parent_columns text[]) returns text
language sql stable
set search_path to 'pg_catalog', 'pg_temp'
begin atomic
    select
        string_agg(format('referring.%I is not null', pair.ours), ' and ' order by pair.position)
        || format(
            ' and not exists (select from %s as referred where %s)', parent,
            string_agg(format('referred.%I = referring.%I', pair.theirs, pair.ours), ' and ' order by pair.position)
        )
    from unnest(columns, parent_columns) with ordinality as pair (ours, theirs, position);
end;

-- How many rows have no parent, up to a number; as far as the caller sees both.
create function orphans(
    child regclass, columns text[], parent regclass, parent_columns text[], most bigint
) returns bigint
language plpgsql stable
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    found bigint;
begin
    execute format(
        'select count(*) from (select from %s as referring where %s limit %s) as broken',
        child, ops.orphan_condition(columns, parent, parent_columns), most
    ) into found;
    return found;
end
$$;

-- The names of a table's columns with these numbers, in this order.
create function key_columns(relation regclass, numbers smallint[]) returns text[]
language sql stable
set search_path to 'pg_catalog', 'pg_temp'
return array(
    select a.attname::text
    from unnest(numbers) with ordinality as part (number, position)
    inner join pg_attribute as a on a.attrelid = relation and a.attnum = part.number
    order by part.position
);

-- An error where others refer to these rows, which are to go: they cannot without making orphans of those, or
-- worse, their keys may cascade. Rows that go too may refer to them.
--   child       the table of the rows
--   parent      the table that they lack a row in
--   references_ as quarantine_orphans() takes them
create function refuse_referred(child regclass, parent regclass, places tid[], references_ jsonb) returns void
language plpgsql stable
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    other record;
    referring bigint;
begin
    for other in
        select
            k.conname::text as name,
            k.conrelid::regclass as relation,
            ops.key_columns(k.conrelid, k.conkey) as columns,
            ops.key_columns(k.confrelid, k.confkey) as parent_columns
        from pg_constraint as k
        where k.contype = 'f' and k.confrelid = child
        union
        select declared.name, to_regclass(declared.child), declared.columns, declared.parent_columns
        from jsonb_to_recordset(references_)
            as declared (name text, child text, columns text[], parent text, parent_columns text[])
        where
            to_regclass(declared.parent) = refuse_referred.child and to_regclass(declared.child) is not null
            and not exists (
                select from unnest(declared.columns) as wanted (name)
                where not exists (
                    select from pg_attribute as a
                    where a.attrelid = to_regclass(declared.child) and a.attname = wanted.name and not a.attisdropped
                )
            )
        order by 1
    loop
        execute format(
            'select count(*) from %s as referring inner join %s as referred on %s
             where referred.ctid = any ($1) and not (%L::boolean and referring.ctid = any ($1))',
            other.relation, child,
            (
                select string_agg(format('referred.%I = referring.%I', pair.theirs, pair.ours), ' and ')
                from unnest(other.columns, other.parent_columns) as pair (ours, theirs)
            ),
            other.relation = child
        ) into referring using places;
        if referring > 0 then
            raise object_not_in_prerequisite_state using
                message = format(
                    '%s rows of %s refer, by %I, to rows of %s that have no parent in %s themselves',
                    referring, other.relation, other.name, child, parent
                ),
                hint = format(
                    'Nothing was moved: without those rows they would be orphans too. A person writes the missing '
                    'rows of %s, or decides about all of them.', parent
                );
        end if;
    end loop;
end
$$;

-- Writes rows of a table into quarantine, each exactly as it is, or an error; their ids there.
--   culprit  the column that is to blame, where it is one
create function keep_orphans(child regclass, places tid[], culprit text, reason text) returns bigint[]
language plpgsql volatile
set search_path to 'pg_catalog', 'pg_temp'
set bytea_output to 'hex'
set datestyle to 'ISO, YMD'
set extra_float_digits to '1'
set intervalstyle to 'postgres'
set timezone to 'UTC'
as $$
declare
    shape record;
    kept record;
    place tid;
    entry bigint;
    entries bigint[] := '{}';
begin
    select
        string_agg(format('referring.%I::text', a.attname), ', ' order by a.attnum) as texts,
        string_agg(
            format('referring.%I::text::%s', a.attname, format_type(a.atttypid, -1)), ', ' order by a.attnum
        ) as again,
        array_agg(a.attname::text order by a.attnum) as names,
        (
            select string_agg(format('%L, referring.%I', b.attname, b.attname), ', ')
            from pg_index as i
            inner join pg_attribute as b on b.attrelid = i.indrelid and b.attnum = any (i.indkey)
            where i.indrelid = child and i.indisprimary
        ) as primary_key
    into shape
    from pg_attribute as a
    where a.attrelid = child and a.attnum > 0 and not a.attisdropped;

    foreach place in array places loop
        execute format(
            'select
                 array[%s] as contents, row(%s)::%s *= referring as is_same, jsonb_build_object(%s) as source_key
             from %s as referring where referring.ctid = $1',
            shape.texts, shape.again, child, shape.primary_key, child
        ) into strict kept using place;
        if kept.is_same is not true then
            raise data_exception using
                message = format('a row of %s cannot be written as text without loss', child);
        end if;
        insert into migration.quarantine (table_name, source_key, row_values, column_name, reason, sqlstate)
        select
            (select c.relname from pg_class as c where c.oid = child),
            kept.source_key,
            jsonb_object_agg(pair.name, ops.cell(pair.content)),
            culprit,
            keep_orphans.reason,
            '23503'
        from unnest(shape.names, kept.contents) as pair (name, content)
        returning quarantine.id into entry;
        perform ops.keep_pieces(entry, kept.contents);
        entries := entries || entry;
    end loop;
    return entries;
end
$$;

-- Moves the rows that break a foreign key, which is there and not validated, into quarantine: their ids
-- there. All of them, each exactly as it was, or an error.
--   key         the oid of the foreign key
--   references_ the foreign keys that sql/ declares, as health_orphans.sql takes them: one that is missing
--               says even so that a row is referred to
--   most        rows; beyond it none is moved
create function quarantine_orphans(key oid, references_ jsonb, most bigint) returns bigint[]
language plpgsql volatile
set search_path to 'pg_catalog', 'pg_temp'
as $$
declare
    broken record;
    places tid[];
    total bigint;
    remaining bigint;
    entries bigint[];
begin
    if (select every_session from app.context()) is not true then
        raise insufficient_privilege using
            message = 'rows of every session may be concerned, and this agent does not see them',
            hint = 'An agent that sees every session does it, or a person.';
    end if;
    select
        k.conname as name,
        k.conrelid::regclass as child,
        k.confrelid::regclass as parent,
        ops.key_columns(k.conrelid, k.conkey) as columns,
        ops.key_columns(k.confrelid, k.confkey) as parent_columns
    into strict broken
    from pg_constraint as k
    inner join pg_class as c on c.oid = k.conrelid
    where k.oid = key and k.contype = 'f' and c.relnamespace = 'public'::regnamespace;

    -- Nobody writes meanwhile, so that what is counted stays true.
    execute format('lock table %s in share row exclusive mode', broken.child);
    execute format('select count(*) from %s', broken.child) into total;
    execute format(
        'select coalesce(array_agg(row_id), ''{}'')
         from (select referring.ctid as row_id from %s as referring where %s limit %s) as found',
        broken.child, ops.orphan_condition(broken.columns, broken.parent, broken.parent_columns), most + 1
    ) into places;
    if cardinality(places) > most then
        raise program_limit_exceeded using
            message = format('more than %s rows of %s have no parent by %I', most, broken.child, broken.name),
            hint = 'A person looks at them first: it is more than an agent may write in one call.';
    end if;
    perform ops.refuse_referred(broken.child, broken.parent, places, references_);

    entries := ops.keep_orphans(
        broken.child, places,
        case when cardinality(broken.columns) = 1 then broken.columns[1] end,
        format(
            'no row in %s for (%s); foreign key %s', broken.parent, array_to_string(broken.columns, ', '), broken.name
        )
    );
    execute format('delete from %s as referring where referring.ctid = any ($1)', broken.child) using places;
    execute format('select count(*) from %s', broken.child) into remaining;
    if
        remaining + cardinality(entries) <> total
        or (select count(*) from migration.quarantine where quarantine.id = any (entries)) <> cardinality(places)
    then
        raise data_exception using message = format(
            '%s had %s rows, %s of them without a parent; %s are left, and %s in quarantine',
            broken.child, total, cardinality(places), remaining, cardinality(entries)
        );
    end if;
    return entries;
end
$$;

set local search_path = 'pg_catalog';
