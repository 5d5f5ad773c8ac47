/**
 * Two turn hosts of one name: the first is stopped in mid-turn, the second takes over without having been able to end it,
 * and the first is continued. Numbers: design.md section 12.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { afterAll, beforeEach, expect, test } from 'vitest';

import type { SendAnswerValue } from '../../../src/contracts/http.ts';
import {
  isSameProcess,
  type ProcessIdentity,
} from '../../../src/providers/process/process-table.ts';
import { eventually } from '../../support/eventually.ts';
import { type Program, runProgram } from '../../support/program.ts';
import { SteadyClient } from '../../support/steady-client.ts';
import { newConversation, readLog, script, words } from './conversations.ts';
import { allow, endsOf, epochsOf, expectWholeLog, viewOnce } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const holdfast = sharedHoldfast();
let second: Program | null = null;

beforeEach(({ onTestFailed }) => {
  onTestFailed(() => void process.stderr.write(second?.stderr() ?? ''));
});

afterAll(async () => {
  second?.kill('SIGKILL');
  await second?.ended;
});

const listOf = (pid: number, file: string): string[] =>
  readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0').slice(0, -1);

/** Stops it, and not in the middle of a transaction: then nobody else could write, and nobody could take over. */
async function stopBetweenWrites({ pid }: ProcessIdentity): Promise<void> {
  await eventually(() => {
    process.kill(pid, 'SIGSTOP');
    if (isWritable()) return true;
    process.kill(pid, 'SIGCONT');
    return false;
  });
}

function isWritable(): boolean {
  const database = new DatabaseSync(join(holdfast.home, 'holdfast.db'), { timeout: 200 });
  try {
    database.exec('BEGIN IMMEDIATE; ROLLBACK');
    return true;
  } catch {
    return false;
  } finally {
    database.close();
  }
}

function environmentOf({ pid }: ProcessIdentity): Record<string, string> {
  const pairs = listOf(pid, 'environ').map((entry) => {
    const at = entry.indexOf('=');
    return [entry.slice(0, at), entry.slice(at + 1)];
  });
  return Object.fromEntries(pairs) as Record<string, string>;
}

/** Takes away what tells which process has custody of that one's host. */
function removeRecord(host: ProcessIdentity): void {
  const { HOLDFAST_HOST_NAME: name } = environmentOf(host);
  rmSync(join(holdfast.home, 'run', `turn-host.${name}.json`));
}

/** Another process of the same program, settings and home, which finds no record of the one that has custody: `second`. */
async function startBeside(host: ProcessIdentity): Promise<Program> {
  const [program = '', ...args] = listOf(host.pid, 'cmdline');
  const environment = environmentOf(host);
  removeRecord(host);
  const beside = runProgram({ program, args, environment, cwd: holdfast.home, detached: true });
  second = beside;
  await eventually(() => beside.stdout().includes('"ready":true'), 30_000);
  return beside;
}

/** Which custody wrote each event of the turn, in the order of the log. */
function writersOf(turnId: string): number[] {
  const database = new DatabaseSync(join(holdfast.home, 'holdfast.db'), { readOnly: true });
  try {
    return database
      .prepare('SELECT epoch FROM log WHERE turn_id = ? AND epoch IS NOT NULL ORDER BY seq')
      .all(turnId)
      .map(({ epoch }) => Number(epoch));
  } finally {
    database.close();
  }
}

type Case = { seen: string; hidesRecord: boolean; secondEnds: number | string };

test.each<Case>([
  // The supervisor's next one finds the second by its record, and ends it.
  { seen: 'by the record in its folder', hidesRecord: false, secondEnds: 'SIGKILL' },
  // The supervisor's next one cannot; it takes the turn from the second, which then ends itself too.
  { seen: 'by the epoch alone', hidesRecord: true, secondEnds: 1 },
])(
  'F1 F2 P3 a turn host that was stopped, replaced and continued sees it $seen, writes nothing more and ends itself; the turn knows nothing of it',
  async ({ hidesRecord, secondEnds }) => {
    const conversationId = await newConversation(holdfast);
    const place = { holdfast, conversationId };
    const body = { requestId: 'long', content: script('words 500 every 10', 'ask go', 'words 50') };
    const text = words(500) + words(50);
    const path = `/v1/conversations/${conversationId}/messages`;
    const { turnId } = await holdfast.ask<{ turnId: string }>({ path, body });
    const client = new SteadyClient({ conversationId, gateway: () => holdfast });
    const { reader } = client;
    await reader.until(() => reader.text.includes('w20 '));
    const provider = await holdfast.providerOf(turnId);

    const first = await holdfast.process('turn-host');
    await stopBetweenWrites(first);
    const beside = await startBeside(first);
    if (hidesRecord) removeRecord(first);
    // It has taken over, and shows what has come since.
    await reader.until(() => epochsOf(reader.events).length === 1);
    const { length } = reader.text;
    await reader.until(() => reader.text.length > length);
    expect(isSameProcess(first)).toBe(true);
    process.kill(first.pid, 'SIGCONT');

    await eventually(() => !isSameProcess(first));
    await holdfast.process('turn-host', first);
    expect(await beside.ended).toBe(secondEnds);
    const { approvals } = await viewOnce({ ...place, is: (view) => view.approvals.length > 0 });
    expect(isSameProcess(provider)).toBe(true);
    await allow({ ...place, approvalId: approvals[0]?.approvalId ?? '' });
    const answer = await holdfast.ask<SendAnswerValue>({ path: `${path}?wait=end`, body });
    expect(answer).toMatchObject({ turnId, outcome: 'completed', text });
    await reader.until((view) => view.state === 'idle');

    const log = await readLog(holdfast, conversationId);
    expectWholeLog({ log, text });
    expect(endsOf(log)).toEqual([`${turnId}.1 chat.done`]);
    expect(epochsOf(log)).toHaveLength(2);
    const writers = writersOf(turnId);
    expect(writers).toEqual(writers.toSorted((a, b) => a - b));
    expect(new Set(writers).size).toBe(3);
    expect(reader.faults).toEqual([]);
    expect(reader.events).toEqual(log);
    client.close();
  },
);
