-- Rides and spine as one table, and every window over that.
COPY (
    WITH days AS (
        SELECT user_id, time_bucket(INTERVAL 1 DAY, event_time) AS day, count(*) AS rides, sum(fare) AS total
        FROM rides GROUP BY ALL
    ), all_rows AS (
        SELECT user_id, event_time, fare, action, event_id, NULL AS n FROM rides UNION ALL
        SELECT user_id, event_time, NULL, NULL, NULL, n FROM spine
    ), seen AS (
        SELECT n, user_id, event_time, count(event_id) OVER life AS life__rides, sum(fare) OVER life AS life__total,
            last_value(action IGNORE NULLS) OVER last AS life__action, count(event_id) OVER h AS recent__hour_rides,
            sum(fare) OVER d AS recent__day_total, count(event_id) OVER w AS recent__week_rides,
            avg(fare) OVER w AS recent__week_mean, max(fare) OVER w AS recent__week_most
        FROM all_rows
        WINDOW life AS (PARTITION BY user_id ORDER BY event_time RANGE UNBOUNDED PRECEDING),
            last AS (PARTITION BY user_id ORDER BY event_time, event_id NULLS LAST ROWS UNBOUNDED PRECEDING),
            h AS (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL 1 HOUR PRECEDING),
            d AS (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL 1 DAY PRECEDING),
            w AS (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL 7 DAY PRECEDING)
        QUALIFY n IS NOT NULL
    )
    SELECT seen.*, days.rides AS days__rides, days.total AS days__total
    FROM seen LEFT JOIN days ON days.user_id = seen.user_id
        AND days.day = time_bucket(INTERVAL 1 DAY, seen.event_time + INTERVAL 1 MILLISECOND) - INTERVAL 1 DAY
) TO 'made.parquet' (FORMAT parquet, COMPRESSION zstd);
