-- Running totals of each user, and what they were at both ends of each window; the greatest of a window is not a
-- difference of two totals, so that its window goes over rides and spine as one table.
CREATE TEMP TABLE running AS
SELECT user_id, event_time, count(*) OVER past AS rides, sum(fare) OVER past AS total, count(fare) OVER past AS fares,
    action
FROM rides
WINDOW past AS (PARTITION BY user_id ORDER BY event_time, event_id ROWS UNBOUNDED PRECEDING)
QUALIFY event_time IS DISTINCT FROM lead(event_time) OVER (PARTITION BY user_id ORDER BY event_time, event_id);

COPY (
    WITH days AS (
        SELECT user_id, time_bucket(INTERVAL 1 DAY, event_time) AS day, count(*) AS rides, sum(fare) AS total
        FROM rides GROUP BY ALL
    ), most AS (
        SELECT n, max(fare) OVER (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL 7 DAY PRECEDING) AS week_most
        FROM (SELECT user_id, event_time, fare, NULL AS n FROM rides UNION ALL
            SELECT user_id, event_time, NULL, n FROM spine)
        QUALIFY n IS NOT NULL
    )
    SELECT spine.*, life.rides AS life__rides, life.total AS life__total, life.action AS life__action,
        life.rides - coalesce(h.rides, 0) AS recent__hour_rides,
        CASE WHEN life.fares > coalesce(d.fares, 0) THEN life.total - coalesce(d.total, 0) END AS recent__day_total,
        life.rides - coalesce(w.rides, 0) AS recent__week_rides,
        (life.total - coalesce(w.total, 0)) / nullif(life.fares - coalesce(w.fares, 0), 0) AS recent__week_mean,
        most.week_most AS recent__week_most, days.rides AS days__rides, days.total AS days__total
    FROM spine
    ASOF LEFT JOIN running AS life ON life.user_id = spine.user_id AND spine.event_time >= life.event_time
    ASOF LEFT JOIN running AS h ON h.user_id = spine.user_id AND spine.event_time - INTERVAL 1 HOUR > h.event_time
    ASOF LEFT JOIN running AS d ON d.user_id = spine.user_id AND spine.event_time - INTERVAL 1 DAY > d.event_time
    ASOF LEFT JOIN running AS w ON w.user_id = spine.user_id AND spine.event_time - INTERVAL 7 DAY > w.event_time
    LEFT JOIN days ON days.user_id = spine.user_id
        AND days.day = time_bucket(INTERVAL 1 DAY, spine.event_time + INTERVAL 1 MILLISECOND) - INTERVAL 1 DAY
    LEFT JOIN most ON most.n = spine.n
) TO 'made.parquet' (FORMAT parquet, COMPRESSION zstd);
