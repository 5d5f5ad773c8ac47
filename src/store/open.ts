/** Opens the store that an address names. The only place outside an engine's folder that knows which engines exist. */
import { isAbsolute } from 'node:path';

import { HoldfastError } from '../contracts/errors.ts';
import type { Store } from './port.ts';
import { openSqliteStore } from './sqlite/store.ts';
import type { StoreLog } from './store-log.ts';

export type OpenStoreRequest = {
  /** `sqlite:<absolute path>`. */
  url: string;
  /** A store that cannot append. Opening it still creates the database when it is not there yet. */
  readOnly?: boolean;
  /** Milliseconds since 1970, for the `at` of events. */
  clock?: () => number;
  log?: StoreLog;
};

/** Throws: `invalid_request` for an address that no engine serves. */
export async function openStore({ url, ...rest }: OpenStoreRequest): Promise<Store> {
  if (url.startsWith('sqlite:')) {
    const path = url.slice('sqlite:'.length);
    if (!isAbsolute(path))
      throw new HoldfastError(
        'invalid_request',
        `The store's address must name an absolute path, as in sqlite:/var/lib/holdfast/holdfast.db; it is "${url}".`,
      );
    return openSqliteStore({ path, ...rest });
  }
  if (/^postgres(ql)?:/.test(url))
    throw new HoldfastError(
      'invalid_request',
      'The PostgreSQL engine of the store is not built yet; use sqlite:<absolute path>.',
    );
  throw new HoldfastError(
    'invalid_request',
    `No store serves this address; it must begin with "sqlite:", and begins with "${url.slice(0, 12)}".`,
  );
}
