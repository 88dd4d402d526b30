// Columns as they travel -> arrays of JavaScript values, and back. Knows nothing of functions.

const TAGS = { boolean: 'booleans', bigint: 'int64s', double: 'float64s', text: 'texts', timestamp: 'int64s', bytes: 'blobs' };
const NOTHING = { boolean: 0, bigint: 0n, double: 0, text: '', timestamp: 0n, bytes: new Uint8Array(0) };
const INT64 = [-(2n ** 63n), 2n ** 63n - 1n];

/** One value per row, `null` where it is null. */
export function decode(column, type) {
  let values = valuesOf(column.values.val, type.logical);
  if (type.list) {
    const { offsets } = column;
    values = Array.from({ length: offsets.length - 1 }, (_, row) => values.slice(offsets[row], offsets[row + 1]));
  }
  const { validity } = column;
  return validity.length === 0 ? values : values.map((value, row) => (validity[row] === 0 ? null : value));
}

/** The column of a function's results, one per row; `shown` is the function in messages. */
export function encode(rows, type, shown) {
  const validity = rows.some(isNull) ? Uint8Array.from(rows, (row) => (isNull(row) ? 0 : 1)) : new Uint8Array(0);
  if (!type.list) return { values: carried(rows, type, shown, true), validity, offsets: new Uint32Array(0) };
  const offsets = new Uint32Array(rows.length + 1);
  const values = [];
  rows.forEach((row, at) => {
    if (!isNull(row)) {
      if (!Array.isArray(row)) throw wrong(row, type, shown);
      for (const value of row) values.push(value);
    }
    offsets[at + 1] = values.length;
  });
  return { values: carried(values, type, shown, false), validity, offsets };
}

/** A moment as a number; beyond 2^53 there is none that is exact. */
export function moment(milliseconds) {
  const number = Number(milliseconds);
  if (!Number.isSafeInteger(number)) throw new RangeError(`${milliseconds} is too far for a time in JavaScript`);
  return number;
}

function isNull(value) {
  return value === null || value === undefined;
}

function valuesOf(values, logical) {
  switch (logical) {
    case 'boolean':
      return Array.from(values, (value) => value !== 0);
    case 'timestamp':
      return Array.from(values, moment);
    default:
      return Array.from(values);
  }
}

function carried(values, type, shown, nulls) {
  const convert = CONVERT[type.logical];
  const converted = values.map((value) => {
    if (nulls && isNull(value)) return NOTHING[type.logical];
    const found = convert(value);
    if (found === undefined) throw wrong(value, type, shown);
    return found;
  });
  return { tag: TAGS[type.logical], val: ARRAYS[type.logical](converted) };
}

const same = (values) => values;
const ARRAYS = {
  boolean: Uint8Array.from.bind(Uint8Array),
  bigint: BigInt64Array.from.bind(BigInt64Array),
  double: Float64Array.from.bind(Float64Array),
  timestamp: BigInt64Array.from.bind(BigInt64Array),
  text: same,
  bytes: same,
};

/** What becomes of a value; `undefined` if it is of another type. */
const CONVERT = {
  boolean: (value) => (typeof value === 'boolean' ? Number(value) : undefined),
  bigint: toInt64,
  double: (value) => (typeof value === 'number' ? value : undefined),
  text: (value) => (typeof value === 'string' && value.isWellFormed() ? value : undefined),
  timestamp: toInt64,
  bytes: (value) => (value instanceof Uint8Array ? value : undefined),
};

function toInt64(value) {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined;
  return typeof value === 'bigint' && value >= INT64[0] && value <= INT64[1] ? value : undefined;
}

function wrong(value, type, shown) {
  const found = isNull(value) ? 'null' : `${typeof value} ${String(value)}`.slice(0, 100);
  const due = `${type.list ? 'a list of ' : ''}${type.logical}`;
  return new TypeError(`\`${shown}\` returned ${found}, and says that it returns ${due}`);
}
