/** The contract of a store, on SQLite. */
import { describeStoreContract } from './contract.ts';
import { makeSqliteData } from './sqlite-data.ts';

describeStoreContract('SQLite', () => Promise.resolve(makeSqliteData()));
