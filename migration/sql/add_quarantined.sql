insert into migration.quarantine
(run_id, table_name, source_key, row_values, column_name, reason, sqlstate, source_position)
values (
    %(run_id)s, %(table_name)s, %(source_key)s, %(row_values)s,
    %(column_name)s, %(reason)s, %(sqlstate)s, %(source_position)s
)
returning id
