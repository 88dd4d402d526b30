// What a plugin finds around it: a log, and neither clock nor randomness. `console` goes to the log.
//
// Natively (in tests) the log is the console and everything else is as JavaScript has it.

const LEVELS = ['debug', 'info', 'warn', 'error'];
let toHost = null;

/** Writes a line to the host's log under the plugin's name. `level`: debug, info, warn or error. */
export function log(level, message) {
  if (!LEVELS.includes(level)) throw new TypeError(`\`${level}\` is not a level; write one of ${LEVELS.join(', ')}`);
  if (toHost === null) console.error(`${level}: ${message}`);
  else toHost(level, String(message));
}

/** From now on the surroundings are those of a component. */
export function seal(write) {
  toHost = write;
  for (const [method, level] of [['log', 'info'], ['info', 'info'], ['debug', 'debug'], ['warn', 'warn'], ['error', 'error']]) {
    console[method] = (...parts) => write(level, parts.map(String).join(' '));
  }
  const instead = 'values must be the same on a replay; take times from the row or `asOf`, and numbers from its values';
  const refuse = (name) => () => {
    throw new Error(`${name} is not there in a plugin: ${instead}`);
  };
  Math.random = refuse('Math.random()');
  const Dates = globalThis.Date;
  Dates.now = refuse('Date.now()');
  globalThis.Date = new Proxy(Dates, {
    construct: (of, given) => (given.length === 0 ? refuse('new Date()')() : new of(...given)),
    apply: refuse('Date()'),
  });
  if (globalThis.performance) globalThis.performance.now = refuse('performance.now()');
  if (globalThis.crypto) {
    globalThis.crypto.getRandomValues = refuse('crypto.getRandomValues()');
    globalThis.crypto.randomUUID = refuse('crypto.randomUUID()');
  }
}
