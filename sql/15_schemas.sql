-- The schemas that are ours besides public.
--
-- public is the database owner's and stays so; what lies in it is atlas_owner's.

create table declared.owned_schema (name text primary key);

insert into declared.owned_schema (name) values
-- What policies call.
('app'),
-- What migrations leave behind: their runs, and the rows that PostgreSQL refused.
('migration'),
-- What the pgloader engine loads into, before it is cast: empty between two migrations.
('migration_staging');
