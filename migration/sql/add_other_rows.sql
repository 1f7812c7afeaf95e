insert into migration.other_rows
(run_id, table_name, bucket, rows, total)
values (%(run_id)s, %(table_name)s, %(bucket)s, %(rows)s, %(total)s)
