/**
 * Brings a database to the schema of this code.
 *
 * Invariants:
 *  1 `user_version` is the number of migrations that ran; each runs in one transaction with its number.
 *  2 However many processes open at once, each migration runs once.
 *  3 A database of something else, or of a newer Holdfast, is refused and left as it is.
 */
import type { DatabaseSync } from 'node:sqlite';

import { HoldfastError } from '../../contracts/errors.ts';
import { integer } from './rows.ts';

/** "hold". */
const APPLICATION_ID = 0x68_6f_6c_64;

/** SQL, and what SQL alone cannot fill in afterwards. */
export type Migration = string | { sql: string; fill: (database: DatabaseSync) => void };

export type MigrationPlan = {
  database: DatabaseSync;
  path: string;
  /** `migrations[n]` leads from version n to n + 1. */
  migrations: readonly Migration[];
};

/** Whether no migration is missing. Throws: `internal` by invariant 3, busy errors of the database. */
export function isCurrent({ database, path, migrations }: MigrationPlan): boolean {
  return versionOf(database, path, migrations.length) === migrations.length;
}

/** Runs the next missing migration, if any; true when none is missing any more. Throws: as {@link isCurrent}. */
export function migrateOnce(plan: MigrationPlan): boolean {
  if (isCurrent(plan)) return true;
  const { database, path, migrations } = plan;
  database.exec('BEGIN IMMEDIATE');
  try {
    // Read again under the lock: another opener may have been faster.
    const version = versionOf(database, path, migrations.length);
    const migration = migrations[version];
    if (migration !== undefined) {
      if (typeof migration === 'string') {
        database.exec(migration);
      } else {
        database.exec(migration.sql);
        migration.fill(database);
      }
      database.exec(`PRAGMA user_version = ${version + 1}`);
      database.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
    }
    database.exec('COMMIT');
  } finally {
    if (database.isTransaction) database.exec('ROLLBACK');
  }
  return isCurrent(plan);
}

function versionOf(database: DatabaseSync, path: string, known: number): number {
  const row = database
    .prepare(
      `SELECT user_version AS version, application_id AS application, (SELECT count(*) FROM sqlite_schema) AS tables
       FROM pragma_user_version, pragma_application_id`,
    )
    .get();
  if (row === undefined) throw new TypeError('a database has a version');
  const version = integer(row, 'version');
  const application = integer(row, 'application');
  const empty = version === 0 && application === 0 && integer(row, 'tables') === 0;
  if (application !== APPLICATION_ID && !empty)
    throw new HoldfastError('internal', `${path} is a database, but not one of Holdfast's.`);
  if (version > known)
    throw new HoldfastError(
      'internal',
      `The database ${path} has schema version ${version}; this Holdfast knows ${known}. A newer Holdfast wrote it: run that one.`,
      { version, known },
    );
  return version;
}
