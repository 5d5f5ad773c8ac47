/** Tables, on SQLite. */
import { describeTables } from './contract-tables.ts';
import { makeSqliteData } from './sqlite-data.ts';

describeTables('SQLite', () => Promise.resolve(makeSqliteData()));
