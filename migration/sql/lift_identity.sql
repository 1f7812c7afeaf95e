-- An identity goes on above the largest id that is there. It never goes back: ids that were given
-- out and deleted again stay used.
select setval({sequence}, m.largest)
from (select max({identity}) as largest from {relation}) as m
cross join {state} as s
where m.largest > s.last_value or (m.largest = s.last_value and not s.is_called)
