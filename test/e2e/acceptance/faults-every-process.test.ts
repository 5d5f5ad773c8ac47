/**
 * One turn, and each process of Holdfast killed while it streams, one after the other. Numbers: design.md section 12.
 *
 * HOLDFAST_TEST_STREAM_SECONDS makes the stream longer, e.g. 120.
 */
import { expect, test } from 'vitest';

import type { SendAnswerValue } from '../../../src/contracts/http.ts';
import { isSameProcess } from '../../../src/providers/process/process-table.ts';
import type { Role } from '../../../src/supervisor/state.ts';
import { eventually } from '../../support/eventually.ts';
import { SteadyClient } from '../../support/steady-client.ts';
import { newConversation, readLog, script, words } from './conversations.ts';
import {
  allow,
  endsOf,
  epochsOf,
  expectWholeLog,
  RECOVERED_WITHIN_MS,
  viewOnce,
} from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const ROLES: readonly Role[] = ['gateway', 'worker', 'turn-host', 'temporal', 'supervisor'];
const WORD_EVERY_MS = 20;
/** Long enough that whoever is to be killed is killed while it streams. */
const SHORTEST_STREAM_SECONDS = 15;
const askedSeconds = Number(process.env['HOLDFAST_TEST_STREAM_SECONDS'] ?? 0);
const streamSeconds = Math.max(SHORTEST_STREAM_SECONDS, askedSeconds);
const wordsEach = Math.ceil((streamSeconds * 1_000) / WORD_EVERY_MS / ROLES.length);
/** Words that are seen of a stage before its victim is killed. */
const WORDS_BEFORE_KILL = 20;

/** What is streamed while that process is killed. Then the turn waits for a person, so that none dies before the last is back. */
const textFor = (role: Role): string => `${role}: ${words(wordsEach)}`;
const content = script(
  ...ROLES.flatMap((role) => [
    `text "${role}: "`,
    `words ${wordsEach} every ${WORD_EVERY_MS}`,
    `ask after-${role}`,
  ]),
  'text "whole"',
);
const whole = `${ROLES.map(textFor).join('')}whole`;

const holdfast = sharedHoldfast();

/** KILL; resolves when another process has its role. */
async function kill(role: Role): Promise<void> {
  const victim = await holdfast.process(role);
  if (role === 'supervisor') {
    await holdfast.killSupervisor();
    await holdfast.start();
  } else process.kill(victim.pid, 'SIGKILL');
  await holdfast.process(role, victim);
}

test(
  'F1 F2 L1 L3 L4 a turn survives one kill -9 of each process: one provider, its text once, one end, epochs that rise, a client that misses nothing',
  { timeout: streamSeconds * 1_000 + 5 * RECOVERED_WITHIN_MS },
  async () => {
    const conversationId = await newConversation(holdfast);
    const place = { holdfast, conversationId };
    const client = new SteadyClient({ conversationId, gateway: () => holdfast });
    const { reader } = client;
    const path = `/v1/conversations/${conversationId}/messages`;
    const body = { requestId: 'long', content };
    const { turnId } = await holdfast.ask<{ turnId: string }>({ path, body });
    await reader.until(() => reader.text.length > 0);
    const provider = await holdfast.providerOf(turnId);

    let before = '';
    for (const role of ROLES) {
      const seen = `${before}${role}: ${words(WORDS_BEFORE_KILL)}`;
      await reader.until(() => reader.text.startsWith(seen));
      const after = `${before}${textFor(role)}`;
      expect(reader.text.length).toBeLessThan(after.length);
      await kill(role);
      // Everything of this stage, then the question: it takes every process to answer it.
      await reader.until(() => reader.text === after, streamSeconds * 1_000 + RECOVERED_WITHIN_MS);
      const { approvals } = await viewOnce({
        ...place,
        is: (view) => view.approvals.length > 0,
        withinMs: RECOVERED_WITHIN_MS,
      });
      expect(isSameProcess(provider)).toBe(true);
      expect(await holdfast.providerOf(turnId)).toEqual(provider);
      await allow({ ...place, approvalId: approvals[0]?.approvalId ?? '' });
      before = after;
    }

    const answer = await eventually(async () => {
      const said = await holdfast.call({ path: `${path}?wait=end`, body });
      return said.status === 200 && (said.body as SendAnswerValue);
    }, RECOVERED_WITHIN_MS);
    expect(answer).toMatchObject({ turnId, outcome: 'completed', text: whole });
    expect(isSameProcess(provider)).toBe(true);
    await reader.until((view) => view.state === 'idle', RECOVERED_WITHIN_MS);

    const log = await readLog(holdfast, conversationId);
    expectWholeLog({ log, text: whole });
    expect(endsOf(log)).toEqual([`${turnId}.1 chat.done`]);
    // The turn host was killed, and the supervisor's successor replaced it once more.
    expect(epochsOf(log)).toHaveLength(2);
    await reader.until((view) => view.lastSeq === log.length);
    expect(reader.faults).toEqual([]);
    expect(reader.events).toEqual(log);
    expect(client.connections).toBeGreaterThanOrEqual(3);
    client.close();
  },
);
