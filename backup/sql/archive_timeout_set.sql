-- What is lost with the whole host is a minute at most.
alter system set archive_timeout = '60s'
