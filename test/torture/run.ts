/**
 * `npm run torture -- --seed S --minutes M [--conversations 5] [--tables 3] [--triggers 4] [--agents 2] [--pause-ms 2400]`
 *
 * Exit code 0: nothing was violated. 1: something was, or the run could not be made. 130: ended by hand.
 */
import { parseArgs } from 'node:util';

import { useScratch } from '../support/scratch.ts';
import { torture } from './torture.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    minutes: { type: 'string', default: '5' },
    conversations: { type: 'string', default: '5' },
    tables: { type: 'string', default: '3' },
    triggers: { type: 'string', default: '4' },
    agents: { type: 'string', default: '2' },
    'pause-ms': { type: 'string', default: '2400' },
  },
});
const seed = values.seed ?? String(Math.floor(Math.random() * 1e9));
const numbers = [values.minutes, values['pause-ms']].map(Number);
const [minutes = 0, pauseMs = 0] = numbers;
const places = [values.conversations, values.tables, values.triggers, values.agents].map(Number);
const [conversations = 0, tables = 0, triggers = 0, agents = 0] = places;
if (
  numbers.some((number) => !(number > 0)) ||
  places.some((number) => !Number.isInteger(number) || number < 0) ||
  conversations + tables + triggers + agents === 0
) {
  process.stderr.write(
    'torture: --minutes and --pause-ms are numbers above 0; --conversations, --tables, --triggers and --agents are how many, and not all 0\n',
  );
  process.exit(1);
}

useScratch();
const abort = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(name, () => {
    // Asked a second time: what was started is ended all the same, at once (torture.ts, at exit).
    if (abort.signal.aborted) process.exit(130);
    abort.abort();
  });
try {
  const { verdict } = await torture({
    seed,
    minutes,
    conversations,
    tables,
    triggers,
    agents,
    pauseMs: { least: pauseMs / 4, most: pauseMs },
    environment: process.env,
    say: (line) => process.stdout.write(`${line}\n`),
    signal: abort.signal,
  });
  process.exitCode = verdict.violations.length === 0 ? 0 : 1;
} catch (error) {
  const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`torture: ${abort.signal.aborted ? 'ended by hand' : why}\n`);
  process.exitCode = abort.signal.aborted ? 130 : 1;
}
process.exit();
