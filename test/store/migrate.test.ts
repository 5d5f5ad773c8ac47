/** Migrations; numbers are those of migrate.ts. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { afterEach, beforeEach, expect, it } from 'vitest';

import { isCurrent, migrateOnce } from '../../src/store/sqlite/migrate.ts';

let folder = '';
let path = '';
const opened: DatabaseSync[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-migrate-'));
  path = join(folder, 'holdfast.db');
});
afterEach(() => {
  for (const database of opened.splice(0)) database.close();
  rmSync(folder, { recursive: true });
});

function open(): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 0 });
  opened.push(database);
  return database;
}

function version(database: DatabaseSync): unknown {
  return database.prepare('PRAGMA user_version').get()?.['user_version'];
}

const first = 'CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1);';
const second = 'ALTER TABLE a ADD COLUMN y INTEGER NOT NULL DEFAULT 2;';

it('1 runs what is missing, one by one', () => {
  const plan = { database: open(), path, migrations: [first, second] };
  expect(isCurrent(plan)).toBe(false);
  expect(migrateOnce(plan)).toBe(false);
  expect(version(plan.database)).toBe(1);
  expect(migrateOnce(plan)).toBe(true);
  expect(isCurrent(plan)).toBe(true);
  expect(plan.database.prepare('SELECT * FROM a').all()).toStrictEqual([
    expect.objectContaining({ x: 1, y: 2 }),
  ]);
});

it('1 one that fails half-way leaves the version before it, and can run again once it is right', () => {
  const database = open();
  const broken = `${second} UPDATE a SET nonsense = 1;`;
  migrateOnce({ database, path, migrations: [first] });
  expect(() => migrateOnce({ database, path, migrations: [first, broken] })).toThrow(/nonsense/);
  expect(version(database)).toBe(1);
  expect(database.prepare('SELECT * FROM a').all()).toStrictEqual([
    expect.objectContaining({ x: 1 }),
  ]);
  expect(migrateOnce({ database, path, migrations: [first, second] })).toBe(true);
});

it('2 another opener in the middle of it is busy, and then finds it done', () => {
  const [one, other] = [open(), open()];
  one.exec('BEGIN IMMEDIATE');
  expect(() => migrateOnce({ database: other, path, migrations: [first] })).toThrow(/locked/);
  one.exec('COMMIT');
  expect(migrateOnce({ database: one, path, migrations: [first] })).toBe(true);
  expect(migrateOnce({ database: other, path, migrations: [first] })).toBe(true);
});

it('3 refuses a newer database and one of something else, unchanged', () => {
  const database = open();
  migrateOnce({ database, path, migrations: [first] });
  database.exec('PRAGMA user_version = 3');
  expect(() => isCurrent({ database, path, migrations: [first] })).toThrow(
    /schema version 3; this Holdfast knows 1/,
  );
  database.exec('PRAGMA application_id = 1');
  expect(() => migrateOnce({ database, path, migrations: [first] })).toThrow(
    /not one of Holdfast's/,
  );
  expect(version(database)).toBe(3);
});
