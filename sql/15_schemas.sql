-- The schemas that are ours besides public.
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
