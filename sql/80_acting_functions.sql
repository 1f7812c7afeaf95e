-- Which functions agents may not call: those that act, and those that show other sessions.
--
-- PostgreSQL lets everybody execute nearly every function: to sleep, to take locks that outlive the
-- statement, to notify, to make large objects, to run SQL that is given as text, to change settings
-- in the middle of a query. A gate that knows them by name misses the next one. So the catalogue is
-- asked: whatever is VOLATILE (PostgreSQL's word for "may do something, or answers differently each
-- time"), in pg_catalog or an extension, is taken from PUBLIC, unless it is listed here as harmless.
-- A new version of PostgreSQL or a new extension is covered by that before anybody has read about it.
-- What is stable and still dangerous has to be named.
--
-- Taken from PUBLIC it is given to atlas_functions: the platform, the migration. Only the owner of a
-- function, in the end a superuser, can do this; a managed PostgreSQL's administrator cannot, and
-- there these rights stay as they are.

-- Patterns of LIKE.
create table declared.harmless_function (
    pattern text primary key,
    why text not null
);

insert into declared.harmless_function (pattern, why) values
('random', 'chance'),
('random\_normal', 'chance'),
('setseed', 'chance, of the session alone'),
('array\_sample', 'chance'),
('array\_shuffle', 'chance'),
('gen\_random\_uuid', 'chance'),
('uuidv4', 'chance; PostgreSQL 18'),
('uuidv7', 'chance and time; PostgreSQL 18'),
('clock\_timestamp', 'time'),
('timeofday', 'time'),
('current\_query', 'the session''s own text'),
('currval', 'the session''s own number'),
('lastval', 'the session''s own number'),
('nextval', 'guarded by the sequence''s rights; defaults of columns call it'),
('setval', 'guarded by the sequence''s rights; the owner needs it'),
('pg\_%\_size', 'how large something is'),
('pg\_partition\_%', 'what a table consists of'),
('pg\_sequence\_last\_value', 'guarded by the sequence''s rights'),
('pg\_is\_in\_recovery', 'one fact about the server'),
('pg\_lock\_status', 'who waits for whom; no text of statements'),
('pg\_stat\_get\_xact\_%', 'counts of the own transaction'),
('pg\_advisory\_unlock\_all', 'gives back; the MCP server calls it after each call');

create table declared.named_function (
    pattern text primary key,
    why text not null
);

insert into declared.named_function (pattern, why) values
('table\_to\_xml%', 'reads a table by its name'),
('schema\_to\_xml%', 'reads all tables'),
('database\_to\_xml%', 'reads all tables'),
('crosstab%', 'runs SQL that is given as text (tablefunc)'),
('connectby%', 'runs SQL that is given as text (tablefunc)'),
('xpath\_table', 'runs SQL that is given as text (xml2)'),
('dblink%', 'reaches the network'),
('pg\_current\_xact\_id', 'takes a transaction number'),
('txid\_current', 'takes a transaction number'),
('pg\_stat\_get\_activity', 'shows the statements of other agents: pg_stat_activity'),
('pg\_stat\_get\_backend\_%', 'shows the statements of other agents'),
('pg\_stat\_get\_wal\_%', 'shows addresses of other servers'),
('pg\_stat\_get\_progress\_info', 'shows what others do');
