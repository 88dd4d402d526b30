// The decoder: a function that makes a row of a payload, and how it is called for many payloads at once.

import { encode } from './columns.js';
import { declareDecoder } from './declared.js';
import { checkKeys, fieldsOf } from './types.js';
import { told } from './told.js';

/** Makes a format of a function: it gets a payload, a Uint8Array, and gives an object whose members are the columns. */
export function decode(of, apply) {
  checkKeys({ name: 'decode', ...of }, ['name', 'columns']);
  const fields = fieldsOf(of.columns, 'decode');
  if (fields.length === 0) throw new TypeError('`decode` has no columns; write columns: {at: timestamp}, say');
  declareDecoder({ fields, apply });
  return apply;
}

/** The columns of these names, and which payloads are refused and why. */
export function call({ fields, apply }, payloads, wanted) {
  const refused = new Map();
  const rows = payloads.map((payload, at) => {
    try {
      return apply(payload) ?? {};
    } catch (error) {
      refused.set(at, told(error));
      return null;
    }
  });
  const columns = wanted.map((name) => column(rows, fields.find((field) => field.name === name), refused));
  const inOrder = [...refused].sort(([one], [next]) => one - next);
  return { columns, refused: inOrder.map(([payload, reason]) => ({ payload, reason })) };
}

/** The column; payloads whose value does not fit are refused on the way. */
function column(rows, { name, type }, refused) {
  const values = rows.map((row) => row?.[name] ?? null);
  values.forEach((value, at) => {
    if (value === null && !type.nullable && !refused.has(at)) refused.set(at, `\`${name}\` is null, and is not nullable`);
  });
  try {
    return encode(values, type, name);
  } catch {
    const fitting = values.map((value, at) => {
      try {
        encode([value], type, name);
        return value;
      } catch (error) {
        if (!refused.has(at)) refused.set(at, told(error));
        return null;
      }
    });
    return encode(fitting, type, name);
  }
}
