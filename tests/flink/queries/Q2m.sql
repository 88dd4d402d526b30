SELECT user_id, COUNT(ride_id) AS n, HOP_END(rowtime, INTERVAL '1' HOUR, INTERVAL '30' DAY) AS e FROM rides
GROUP BY user_id, HOP(rowtime, INTERVAL '1' HOUR, INTERVAL '30' DAY)
