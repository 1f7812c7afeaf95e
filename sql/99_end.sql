-- The scratch schemas go before the commit: no other session ever sees them.

drop schema declared cascade;
drop schema declared_public cascade;
drop schema declared_migration cascade;
drop schema declared_app cascade;
drop schema declared_audit cascade;
drop schema declared_ops cascade;

commit;
