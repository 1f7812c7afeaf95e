insert into migration.run (source_name, source_sha256, engine, status, plan)
values (%(source_name)s, %(source_sha256)s, %(engine)s, 'running', %(plan)s)
returning id
