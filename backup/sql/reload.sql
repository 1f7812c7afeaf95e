-- Let the server read its settings.
select pg_reload_conf()
