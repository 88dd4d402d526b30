//! What is said of the functions that are respelt.
//!
//! Knows how each is called and what it gives. Must not know how it is rewritten.

/// A function's name in lower case, how it is called, and what it gives.
pub(crate) type Told = (&'static str, &'static str, &'static str);

/// The functions that the expression library does not have under this name, or with this meaning.
pub(crate) const TOLD: [Told; 44] = [
    (
        "ceil",
        "CEIL(x) or CEIL(t TO unit)",
        "the nearest whole number that is not less; the beginning of the next unit of time, or t itself where one begins",
    ),
    ("current_date", "CURRENT_DATE", "the date of the row's event time, in UTC"),
    ("current_timestamp", "CURRENT_TIMESTAMP", "the row's event time"),
    (
        "date_format",
        "DATE_FORMAT(t, 'yyyy-MM-dd HH:mm:ss')",
        "a time as text, by a pattern of Java's, or one with % such as '%Y-%m-%d'",
    ),
    (
        "date_part",
        "EXTRACT(part FROM t)",
        "a part of a time (year, isoyear, quarter, month, week, day, doy, dow from 0 for Sunday, isodow from 1 for Monday, hour, minute, second, millisecond, microsecond, epoch); of a difference of times all of it in that unit, with EPOCH in seconds with their fraction",
    ),
    (
        "date_trunc",
        "date_trunc('unit', t)",
        "the beginning of the year, quarter, month, week (Monday), day, hour, minute, second or millisecond that t is in",
    ),
    ("dayofmonth", "DAYOFMONTH(t)", "the day of the month, from 1"),
    ("dayofweek", "DAYOFWEEK(t)", "the day of the week, from 1 for Sunday to 7"),
    ("dayofyear", "DAYOFYEAR(t)", "the day of the year, from 1"),
    (
        "element_at",
        "ELEMENT_AT(a, n) or ELEMENT_AT(m, key)",
        "as a[n] or m[key]: a value of an array, counted from 1, or of a map; null where there is none",
    ),
    (
        "floor",
        "FLOOR(x) or FLOOR(t TO unit)",
        "the nearest whole number that is not greater; the beginning of the unit of time",
    ),
    ("from_base64", "FROM_BASE64(text)", "the text that a text in base 64 stands for"),
    ("from_unixtime", "FROM_UNIXTIME(n [, 'yyyy-MM-dd HH:mm:ss'])", "seconds since 1970 as text, in UTC"),
    ("hour", "HOUR(t)", "the hour, from 0 to 23"),
    ("if", "IF(condition, a, b)", "a where the condition is true, else b"),
    (
        "lag",
        "LAG(x [, n [, default]]) OVER (PARTITION BY k ORDER BY rowtime)",
        "x in the row n rows before (1), the default (null) where there is no such row",
    ),
    (
        "listagg",
        "LISTAGG(x [, separator])",
        "all values of an aggregate as one text, in order of time, with commas between",
    ),
    (
        "locate",
        "LOCATE(part, text)",
        "where a part begins in a text, from 1; 0 where it does not stand in it",
    ),
    ("log", "LOG(base, x)", "the logarithm of x; for one argument write LN(x) or LOG10(x)"),
    ("minute", "MINUTE(t)", "the minute, from 0 to 59"),
    ("mod", "MOD(a, b)", "as a % b: the remainder of a division, with the sign of a"),
    ("month", "MONTH(t)", "the month, from 1 to 12"),
    ("quarter", "QUARTER(t)", "the quarter, from 1 to 4"),
    (
        "regexp",
        "REGEXP(text, pattern)",
        "as text RLIKE pattern: whether a regular expression matches a part of a text",
    ),
    (
        "regexp_extract",
        "REGEXP_EXTRACT(text, pattern [, group])",
        "a group of the first match, the first one (1) or all of it (0); null where nothing matches",
    ),
    (
        "regexp_replace",
        "REGEXP_REPLACE(text, pattern, by [, flags])",
        "a text with every match of a regular expression replaced; by may name its groups as $1",
    ),
    ("second", "SECOND(t)", "the second, from 0 to 59"),
    ("sha2", "SHA2(text, 256)", "the SHA-2 digest of 224, 256, 384 or 512 bits, in hexadecimal digits"),
    ("sha224", "SHA224(text)", "the SHA-224 digest, in hexadecimal digits"),
    ("sha256", "SHA256(text)", "the SHA-256 digest, in hexadecimal digits"),
    ("sha384", "SHA384(text)", "the SHA-384 digest, in hexadecimal digits"),
    ("sha512", "SHA512(text)", "the SHA-512 digest, in hexadecimal digits"),
    ("string_agg", "STRING_AGG(x [, separator])", "as LISTAGG"),
    ("timestampadd", "TIMESTAMPADD(unit, n, t)", "the time n units (MILLISECOND to YEAR) after t"),
    (
        "timestampdiff",
        "TIMESTAMPDIFF(unit, a, b)",
        "how many whole units (MILLISECOND to YEAR) lie between a and b, negative where b is before a",
    ),
    ("to_base64", "TO_BASE64(text)", "a text in base 64"),
    ("to_char", "TO_CHAR(t, '%Y-%m-%d')", "a time as text, by a pattern with %"),
    ("to_date", "TO_DATE(text [, 'yyyy-MM-dd'])", "the date that a text is"),
    (
        "to_timestamp",
        "TO_TIMESTAMP(text [, 'yyyy-MM-dd HH:mm:ss'])",
        "the time that a text is, in UTC; of a number, seconds since 1970",
    ),
    (
        "to_timestamp_ltz",
        "TO_TIMESTAMP_LTZ(n, 3)",
        "milliseconds since 1970 as a time, or seconds with 0 instead of 3",
    ),
    ("truncate", "TRUNCATE(x [, digits])", "a number without what follows so many digits"),
    ("unix_timestamp", "UNIX_TIMESTAMP(t) or UNIX_TIMESTAMP(text, pattern)", "seconds since 1970"),
    ("week", "WEEK(t)", "the week of the year by ISO 8601, from 1 to 53"),
    ("year", "YEAR(t)", "the year"),
];
