-- A row that healing took out, put back where it was, with other values for the columns that are repaired.
select ops.replay(%(id)s, %(repaired)s)
