-- Values have one text, whatever the server, the database or the role is set to.
set local timezone = 'UTC';
set local datestyle = 'ISO, MDY';
set local intervalstyle = 'postgres';
set local bytea_output = 'hex';
set local extra_float_digits = 1;
set local lc_monetary = 'C';
set local xmlbinary = 'base64';
set local search_path = 'pg_catalog';
set local row_security = off;
set local statement_timeout = 0;
set local idle_in_transaction_session_timeout = 0;
