/** History, on SQLite. */
import { describeHistory } from './contract-history.ts';
import { makeSqliteData } from './sqlite-data.ts';

describeHistory('SQLite', () => Promise.resolve(makeSqliteData()));
