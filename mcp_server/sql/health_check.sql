-- Whether PostgreSQL answers, and how large the database is.
select
    split_part(version(), ',', 1) as version,
    (
        select count(*)
        from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
    ) as table_count,
    pg_size_pretty(pg_database_size(current_database())) as database_size
