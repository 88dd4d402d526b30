SELECT user_id, COUNT(*) AS n, SUM(fare) AS s, MIN(fare) AS mi, MAX(fare) AS ma, AVG(fare) AS av,
COUNT(DISTINCT ride_id) AS d, ARRAY_JOIN(TOP(5, action), ',') AS last, TUMBLE_END(rowtime, INTERVAL '1' HOUR) AS e FROM rides
GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)
