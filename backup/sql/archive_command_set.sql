-- pgBackRest needs the repository's key, which the image's atlas-pgbackrest adds.
alter system set archive_command = 'atlas-pgbackrest archive-push %p'
