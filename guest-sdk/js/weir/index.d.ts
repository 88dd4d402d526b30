/** The type of a column, and of its values in JavaScript. */
export interface Type<T> {
  readonly logical: string;
  readonly list: boolean;
  readonly nullable: boolean;
  readonly of?: T;
}

export declare const boolean: Type<boolean>;
/** 64 bits, a `bigint` in JavaScript. */
export declare const bigint: Type<bigint>;
export declare const double: Type<number>;
export declare const text: Type<string>;
/** Milliseconds since 1970. */
export declare const timestamp: Type<number>;
export declare const bytes: Type<Uint8Array>;
/** A list of values; none of them is null. */
export declare function list<T>(of: Type<T>): Type<T[]>;
/** The function is given rows in which this argument is null, as `null`. */
export declare function nullable<T>(of: Type<T>): Type<T | null>;

type Types = Record<string, Type<any>>;

export interface Scalar {
  /** The name in SQL. */
  name: string;
  /** In the order in which they are given. */
  arguments: Types;
  result: Type<any>;
  description?: string;
  /** Whether the function is given arrays with all rows at once, and gives one. */
  columnar?: boolean;
}

/** Makes a function usable in SQL; gives it back. A whole number may be given back as a number that is safe. */
export declare function scalar<F extends (...values: any[]) => any>(declared: Scalar, apply: F): F;

export interface Transform {
  /** The name in a job's `transform`. */
  name: string;
  /** In the order in which `name(a, b)` gives them; `name(*)` takes for each what has its name. */
  arguments: Types;
  /** What a row has, `name(a, b).column`; its members that are not nullable are in each. */
  results: Types;
  description?: string;
  /** Whether the function is given arrays with all rows at once, and gives an object of arrays. */
  columnar?: boolean;
}

/**
 * Makes a function usable in a job's `transform`; gives it back. It gives an object with the results, or null for a row of
 * nulls.
 */
export declare function transform<F extends (...values: any[]) => object | null>(declared: Transform, apply: F): F;

export interface Aggregate {
  /** The name in SQL. */
  name: string;
  /** Constants that a query gives before the arguments, and the constructor gets. */
  parameters?: Types;
  arguments: Types;
  result: Type<any>;
  /** `exact` if no order and no cut of the rows can change a bit of the value; `ordered` unless said. */
  algebra?: 'exact' | 'ordered' | 'approximate';
  description?: string;
}

/** The state of some rows of one key. */
export interface State {
  /** Adds a row of this event time, in milliseconds. */
  update(time: number, ...values: any[]): void;
  /** Adds the state of a later stretch of rows. */
  merge(later: this): void;
  /** The value at this moment. */
  finish(asOf: number): unknown;
}

/** Makes a class usable in SQL; gives it back. */
export declare function aggregate<C extends new (...constants: any[]) => State>(declared: Aggregate, of: C): C;

export interface Process {
  /** The name in SQL. */
  name: string;
  /** Constants that a query gives behind the table, and the constructor gets. */
  parameters?: Types;
  /** Columns of the table, found by these names: what an event has. */
  arguments?: Types;
  /** What a row has; its members that are not nullable are in each. */
  rows: Types;
  description?: string;
}

/** Where an event or a timer puts the rows that it makes, and the key's timer. */
export interface Output<Row = any> {
  /**
   * When the timer fires, in milliseconds, or null. It fires behind the events of its time, once; set by an event it is
   * not before that event, and set by a timer it is later than that.
   */
  timer: number | null;
  /** Makes a row, of the time of the event or timer; 1,000 at most at one time. */
  emit(row: Row): void;
}

/** What is remembered of one key. */
export interface Memory {
  /** Takes an event of this time, in milliseconds. */
  onEvent(at: number, event: any, out: Output): void;
  /** The timer fires at this time. */
  onTimer?(at: number, out: Output): void;
}

/** Makes a class usable in SQL as keyed logic, `FROM TABLE(name(TABLE t PARTITION BY k))`; gives it back. */
export declare function process<C extends new (...constants: any[]) => Memory>(declared: Process, of: C): C;

/**
 * The rows that one key's events make, each with its time, for tests. Timers fire before the first event behind them, and in the
 * end those up to `until`.
 */
export declare function play<Row = any>(
  of: new (...constants: any[]) => Memory,
  events: Iterable<[at: number, event: object]>,
  options?: { until?: number; parameters?: any[] },
): [at: number, row: Row][];

export interface Decoder {
  /** What a row has; its members that are not nullable are in each. */
  columns: Types;
}

/**
 * Makes a format of a function of a message's payload, `format: {plugin: NAME}`; gives it back. What it throws refuses the
 * payload.
 */
export declare function decode<F extends (payload: Uint8Array) => object>(declared: Decoder, apply: F): F;

/** Writes a line to the host's log under the plugin's name. */
export declare function log(level: 'debug' | 'info' | 'warn' | 'error', message: string): void;
