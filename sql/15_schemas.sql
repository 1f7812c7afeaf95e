-- The schemas that are ours besides public, and the extensions that the server can have.
--
-- public is the database owner's and stays so; what lies in it is atlas_owner's.

create table declared.owned_schema (
    name text primary key,
    owner text not null
);

insert into declared.owned_schema (name, owner) values
-- What decides which rows an agent sees.
('app', 'atlas_guard'),
-- What agents did.
('audit', 'atlas_guard'),
-- What was done to keep the database well.
('ops', 'atlas_guard'),
-- What migrations leave behind: their runs, and the rows that PostgreSQL refused.
('migration', 'atlas_owner'),
-- What the pgloader engine loads into, before it is cast: empty between two migrations.
('migration_staging', 'atlas_owner');

-- In schema ops, where nothing of theirs is in anybody's search_path. An extension is created where the server has it
-- and the administrator may: a superuser, or anybody who may create in the database where it is trusted. What is not
-- there is not used, and is no drift: slow statements are not found then, texts get no trigram index, and indexes are
-- built to be judged.
create table declared.extension (
    name text primary key,
    schema text not null,
    -- A setting that is there only where the library was loaded at the server's start; NULL: it need not be.
    loaded_with text
);

insert into declared.extension (name, schema, loaded_with) values
('pg_stat_statements', 'ops', 'pg_stat_statements.max'),
('pg_trgm', 'ops', null),
('hypopg', 'ops', null);
