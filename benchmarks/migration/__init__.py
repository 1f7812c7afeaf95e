"""`make bench`: the migration beside the other ways from SQLite to PostgreSQL.

The modules in the order of the flow: `shapes` makes a database; `prepare` migrates it once and
keeps what the contenders need; `contenders` are the ways; `measure` runs one of them into a fresh
target, watches it and checks what arrived; `compare` and `growth` say what is run how often;
`results` keeps the figures; `figures` and `goals` compute on them; `show`, `page` and `charts`
present them.

Times are wall clock. Figures of different invocations cannot be compared, since machines drift;
ratios within one can.
"""
