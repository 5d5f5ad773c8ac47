/** Search, on SQLite. */
import { describeSearch } from './contract-search.ts';
import { makeSqliteData } from './sqlite-data.ts';

describeSearch('SQLite', () => Promise.resolve(makeSqliteData()));
