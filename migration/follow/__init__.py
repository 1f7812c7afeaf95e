"""Following a source that goes on being written to.

Invariant: between two steps, the target together with the quarantine is exactly what the source was
at one moment. A step is one transaction of PostgreSQL, which also notes how far it went.
"""
