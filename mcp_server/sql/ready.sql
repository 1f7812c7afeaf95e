-- Whether a query would be answered.
select true as ready
