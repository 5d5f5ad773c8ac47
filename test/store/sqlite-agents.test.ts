/** Agents, on SQLite. */
import { describeAgents } from './contract-agents.ts';
import { makeSqliteData } from './sqlite-data.ts';

describeAgents('SQLite', () => Promise.resolve(makeSqliteData()));
