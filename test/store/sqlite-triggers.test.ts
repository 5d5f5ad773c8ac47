/** Triggers, on SQLite. */
import { describeTriggers } from './contract-triggers.ts';
import { makeSqliteData } from './sqlite-data.ts';

describeTriggers('SQLite', () => Promise.resolve(makeSqliteData()));
