/** A store on SQLite for a test: a file of its own, and a way to look at it without any of our code. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/port.ts';
import { openSqliteStore, type OpenSqliteStoreRequest } from '../../src/store/sqlite/store.ts';
import type { StoreData } from './contract-events.ts';

export type SqliteData = StoreData & {
  path: string;
  /** With this engine's own options. */
  openWith(options: Partial<OpenSqliteStoreRequest>): Promise<Store>;
  /** The same file without any of our code. */
  raw(): DatabaseSync;
};

export function makeSqliteData(): SqliteData {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-store-'));
  const path = join(folder, 'made', 'holdfast.db');
  const url = `sqlite:${path}`;
  const opened: { close(): unknown }[] = [];
  const keep = <T extends { close(): unknown }>(one: T): T => {
    opened.push(one);
    return one;
  };
  return {
    path,
    url,
    open: async (options = {}) => keep(await openStore({ url, ...options })),
    openWith: async (options) => keep(await openSqliteStore({ path, ...options })),
    raw: () => keep(new DatabaseSync(path)),
    async destroy() {
      for (const one of opened) await Promise.resolve(one.close()).catch(() => {});
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
