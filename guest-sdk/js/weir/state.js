// States as bytes: an object's own properties as JSON, with a mark for what JSON does not have. Properties and
// keys are in order of name, so that equal states are equal bytes.

import { moment } from './columns.js';

const MARK = '$';

/** States as bytes, under one set of constants. That of a new object is written as no bytes. */
export function codec({ name, State, parameters }, constants) {
  const given = constants.map((constant, at) => (parameters[at].type.logical === 'timestamp' ? moment(constant) : constant));
  const fresh = () => new State(...given);
  const start = String(toBytes(fresh(), name));
  return {
    decode: (bytes) => (bytes.length === 0 ? fresh() : fromBytes(bytes, fresh())),
    encode: (state) => {
      const bytes = toBytes(state, name);
      return String(bytes) === start ? new Uint8Array(0) : bytes;
    },
  };
}

/** The bytes of a state. */
export function toBytes(state, shown) {
  return new TextEncoder().encode(JSON.stringify(plain(state, shown, '')));
}

/** Puts what was kept into a new object. */
export function fromBytes(bytes, into) {
  const kept = lively(JSON.parse(new TextDecoder().decode(bytes)));
  for (const property of Object.keys(into)) delete into[property];
  return Object.assign(into, kept);
}

function plain(value, shown, path) {
  switch (typeof value) {
    case 'bigint':
      return { [MARK]: 'bigint', of: String(value) };
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0) ? value : { [MARK]: 'number', of: Object.is(value, -0) ? '-0' : String(value) };
    case 'string':
    case 'boolean':
      return value;
    case 'undefined':
      return { [MARK]: 'undefined' };
    case 'object':
      return value === null ? null : plainObject(value, shown, path);
    default:
      throw unkept(value, shown, path);
  }
}

function plainObject(value, shown, path) {
  const below = (each, at) => plain(each, shown, `${path}.${String(at)}`);
  if (Array.isArray(value)) return value.map(below);
  if (value instanceof Uint8Array) return { [MARK]: 'bytes', of: Array.from(value) };
  if (value instanceof Map) return { [MARK]: 'map', of: [...value].map(([key, each]) => [below(key, 'key'), below(each, key)]) };
  if (value instanceof Set) return { [MARK]: 'set', of: [...value].map(below) };
  const kind = Object.getPrototypeOf(value);
  if (path !== '' && kind !== Object.prototype && kind !== null) throw unkept(value, shown, path);
  const properties = Object.keys(value).sort().map((key) => [key, below(value[key], key)]);
  const object = Object.fromEntries(properties);
  return MARK in object ? { [MARK]: 'object', of: properties } : object;
}

function lively(value) {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(lively);
  switch (value[MARK]) {
    case 'bigint':
      return BigInt(value.of);
    case 'number':
      return Number(value.of);
    case 'undefined':
      return undefined;
    case 'bytes':
      return Uint8Array.from(value.of);
    case 'map':
      return new Map(value.of.map(([key, each]) => [lively(key), lively(each)]));
    case 'set':
      return new Set(value.of.map(lively));
    case 'object':
      return Object.fromEntries(value.of.map(([key, each]) => [key, lively(each)]));
    default:
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, lively(each)]));
  }
}

function unkept(value, shown, path) {
  const kind = typeof value === 'object' ? value.constructor?.name : typeof value;
  return new TypeError(
    `the state of \`${shown}\` holds \`${path.slice(1)}\`, a ${kind} that cannot be kept; keep null, booleans, numbers, bigints, ` +
      'texts, Uint8Arrays, and arrays, Maps, Sets and plain objects of them',
  );
}
