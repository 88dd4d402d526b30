// A format: a row out of the payload of each message.

import { decode, double, nullable, text, timestamp } from './weir/index.js';

/** `USER MILLISECONDS [FARE]` */
export const {{NAME}} = decode({ columns: { user_id: text, at: timestamp, fare: nullable(double) } }, (payload) => {
  const [user_id, at, fare] = new TextDecoder('utf-8', { fatal: true }).decode(payload).trim().split(/\s+/);
  if (!/^\d+$/.test(at)) throw new Error('has no time');
  if (fare !== undefined && !/^\d+(\.\d+)?$/.test(fare)) throw new Error(`the fare ${fare} is no number`);
  return { user_id, at: Number(at), fare: fare === undefined ? null : Number(fare) };
});
