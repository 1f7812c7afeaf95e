"""The cutover: PostgreSQL becomes the platform's database, SQLite the way back.

Invariant: the SQLite file decides. While it has no block it is the truth, and PostgreSQL follows;
once the block is committed PostgreSQL is. PostgreSQL is prepared and committed before, with all
that the file holds at that moment, so neither answer ever loses a write.
"""
