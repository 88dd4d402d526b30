SELECT geohash, COUNT(*) AS n, TUMBLE_END(rowtime, INTERVAL '1' HOUR) AS e FROM rides GROUP BY geohash, TUMBLE(rowtime, INTERVAL '1' HOUR)
