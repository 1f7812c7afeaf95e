-- What sql/checks asserts, and what of it does not hold now.
select
    assertions.assertion,
    assertions.broken
from ops.assertions() as assertions
