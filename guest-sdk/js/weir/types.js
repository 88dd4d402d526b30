// The types of columns, as a plugin's author names them. Knows nothing of how values travel.

function type(logical, list = false, nullable = false) {
  return Object.freeze({ logical, list, nullable });
}

export const boolean = type('boolean');
/** 64 bits, a `BigInt` in JavaScript. */
export const bigint = type('bigint');
export const double = type('double');
export const text = type('text');
/** Milliseconds since 1970, a number. */
export const timestamp = type('timestamp');
/** A `Uint8Array`. */
export const bytes = type('bytes');

/** A list of values; none of them is null. */
export function list(of) {
  if (of.list) throw new TypeError('a list holds no lists');
  return type(of.logical, true, of.nullable);
}

/** The function is given rows in which this argument is null, as `null`. */
export function nullable(of) {
  return type(of.logical, of.list, true);
}

const NAME = /^[a-z][a-z0-9_]{0,63}$/;

/** The arguments of a function, in the order in which they are written. */
export function fieldsOf(named, shown) {
  return Object.entries(named ?? {}).map(([name, of]) => {
    if (!NAME.test(name)) throw new TypeError(`\`${name}\` of \`${shown}\` is not a name in SQL; write [a-z][a-z0-9_]*`);
    if (of?.logical === undefined) {
      throw new TypeError(`\`${name}\` of \`${shown}\` has no type; write boolean, bigint, double, text, timestamp, bytes, or list(..) or nullable(..) of one`);
    }
    return { name, type: of };
  });
}

/** The type of a result. */
export function resultOf(of, shown) {
  if (of?.logical === undefined) throw new TypeError(`\`${shown}\` does not say what it returns; write result: double, say`);
  return of;
}

/** Refuses what a declaration does not have, so that nothing that is misspelt is left out in silence. */
export function checkKeys(declared, known) {
  const unknown = Object.keys(declared).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    throw new TypeError(`\`${declared.name}\` has a key \`${unknown}\` that is not known; write ${known.join(', ')}`);
  }
}

/** Refuses what is not a name in SQL. */
export function checkName(name) {
  if (!NAME.test(name)) throw new TypeError(`\`${name}\` is not a name in SQL; write [a-z][a-z0-9_]*`);
}
