/** Asking the database from the read modules: a statement, prepared once, and its values. */
import type { Store } from '../port.ts';
import type { Connection } from './connection.ts';
import type { Row } from './rows.ts';

/** What {@link Store} answers, without the promise. */
export type Answer<K extends keyof Store> = Store[K] extends (...args: never) => Promise<infer T>
  ? T
  : never;

type Values = (string | number | null)[];

export function one(connection: Connection, sql: string, ...values: Values): Row | undefined {
  return connection.prepare(sql).get(...values);
}

export function all(connection: Connection, sql: string, ...values: Values): Row[] {
  return connection.prepare(sql).all(...values);
}

/** Runs a statement that writes; the number of rows that it changed. */
export function run(connection: Connection, sql: string, ...values: Values): number {
  return Number(connection.run(sql, values).changes);
}
