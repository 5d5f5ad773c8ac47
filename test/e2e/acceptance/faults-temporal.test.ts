/**
 * The Temporal server dies: with its database, and with the database gone too. What it had said is true, streams go on, and
 * the store is enough to go on from. Numbers: design.md section 12.
 */
import { execFile } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { expect, test } from 'vitest';

import type { SendAnswerValue } from '../../../src/contracts/http.ts';
import type { ReceiptValue } from '../../../src/contracts/view.ts';
import { isSameProcess } from '../../../src/providers/process/process-table.ts';
import { eventually } from '../../support/eventually.ts';
import type { Answer } from '../../support/holdfast.ts';
import { SteadyClient } from '../../support/steady-client.ts';
import { temporalBinary } from '../../support/temporal.ts';
import { newConversation, readLog, script, send, words } from './conversations.ts';
import { allow, endsOf, expectWholeLog, RECOVERED_WITHIN_MS, viewOf, viewOnce } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const run = promisify(execFile);

const holdfast = sharedHoldfast();

type Sent = { requestId: string; content: string };
type Answered = Sent & { conversationId: string; status: number; accepted: unknown };

async function post(conversationId: string, body: Sent, query = ''): Promise<Answer> {
  return holdfast.call({ path: `/v1/conversations/${conversationId}/messages${query}`, body });
}

/** The end of a send that may have been made before, once somebody can tell it. */
async function endOf(conversationId: string, body: Sent): Promise<SendAnswerValue> {
  return eventually(async () => {
    const answer = await post(conversationId, body, '?wait=end');
    return answer.status === 200 && (answer.body as SendAnswerValue);
  }, RECOVERED_WITHIN_MS);
}

/** The ids of the Workflows that a search finds. */
async function found(query: string): Promise<string[]> {
  const args = ['workflow', 'list', '--query', query, '--address', holdfast.temporal];
  const { stdout } = await run(temporalBinary(), [...args, '--output', 'json'], {
    // Untouched by anyone's Temporal profile, which it looks for in its home.
    env: { PATH: process.env['PATH'], HOME: holdfast.workspace },
  });
  const rows = JSON.parse(stdout) as { execution: { workflowId: string } }[];
  return rows.map(({ execution }) => execution.workflowId);
}

/** Runs `meanwhile` between a KILL of the server and the moment from which the supervisor may start another, which it then does. */
async function withoutTemporal(meanwhile: () => Promise<void>): Promise<void> {
  const victim = await holdfast.process('temporal');
  const supervisor = await holdfast.process('supervisor');
  process.kill(supervisor.pid, 'SIGSTOP');
  try {
    process.kill(victim.pid, 'SIGKILL');
    await eventually(() => !isSameProcess(victim));
    await meanwhile();
  } finally {
    process.kill(supervisor.pid, 'SIGCONT');
  }
  await holdfast.process('temporal', victim);
}

test(
  'A1 A2 F2 W1 its database is gone in mid-turn: the turn goes on, what waits runs by itself, what was answered stays answered',
  { timeout: 4 * RECOVERED_WITHIN_MS },
  async () => {
    const conversationId = await newConversation(holdfast);
    const done = { requestId: 'done', content: script('text "before"') };
    const first = await send(holdfast, conversationId, done.content, done.requestId);
    const running = { requestId: 'running', content: script('words 600 every 10') };
    const waiting = { requestId: 'waiting', content: script('text "waited"') };
    const started = (await post(conversationId, running)).body as ReceiptValue;
    const queued = (await post(conversationId, waiting)).body as ReceiptValue;
    expect([started.status, queued.status]).toEqual(['started', 'queued']);
    const client = new SteadyClient({ conversationId, gateway: () => holdfast });
    const { reader } = client;
    await reader.until(() => reader.text.includes('w20 '));
    const provider = await holdfast.providerOf(started.turnId ?? '');
    const asking = { holdfast, conversationId: await newConversation(holdfast) };
    const question = { requestId: 'asks', content: script('ask go', 'text "gone"') };
    await post(asking.conversationId, question);
    const { approvals } = await viewOnce({ ...asking, is: (view) => view.approvals.length > 0 });

    const later = { requestId: 'later', content: script('text "later"') };
    await withoutTemporal(async () => {
      for (const file of readdirSync(holdfast.home))
        if (file.startsWith('temporal.db')) rmSync(join(holdfast.home, file));
      expect(reader.text.length).toBeLessThan(`before${words(600)}`.length);
      // The first may have gone into a connection that was just breaking; then nobody knows, and it says so.
      await eventually(async () => {
        const refused = await post(conversationId, later);
        expect(refused).toMatchObject({ status: 503, body: { code: 'temporal_unavailable' } });
        expect(refused.headers['retry-after']).toBeDefined();
        return (refused.body as { accepted: unknown }).accepted === false;
      });
      // What is in the log is answered from there.
      expect((await post(conversationId, waiting)).body).toEqual(queued);
      await reader.until(() => reader.text.startsWith(`before${words(600)}`));
      expect(reader.text).toBe(`before${words(600)}`);
      expect(isSameProcess(provider)).toBe(true);
    });

    // Nobody sends anything: it is Holdfast that finds the conversations, that which waits and that which still runs.
    await reader.until(
      (view) => view.state === 'idle' && view.queue.length === 0,
      RECOVERED_WITHIN_MS,
    );
    await eventually(
      async () =>
        (await found('HoldfastState="processing"')).includes(
          `conversation:${asking.conversationId}`,
        ),
      RECOVERED_WITHIN_MS,
    );
    await allow({ ...asking, approvalId: approvals[0]?.approvalId ?? '' });
    expect(await endOf(asking.conversationId, question)).toMatchObject({
      outcome: 'completed',
      text: 'gone',
    });
    expect(reader.text).toBe(`before${words(600)}waited`);
    for (const [body, turnId, text] of [
      [done, first.turnId, 'before'],
      [running, started.turnId, words(600)],
      [waiting, queued.turnId, 'waited'],
    ] as const)
      expect(await endOf(conversationId, body)).toMatchObject({
        turnId,
        outcome: 'completed',
        text,
      });
    expect(await endOf(conversationId, later)).toMatchObject({
      outcome: 'completed',
      text: 'later',
    });
    const other = await newConversation(holdfast);
    expect(await send(holdfast, other, script('text "new"'))).toMatchObject({ text: 'new' });

    const log = await readLog(holdfast, conversationId);
    expectWholeLog({ log, text: `before${words(600)}waitedlater` });
    expect(endsOf(log)).toHaveLength(4);
    await reader.until(({ lastSeq }) => lastSeq === log.length);
    expect(reader.faults).toEqual([]);
    expect(reader.events).toEqual(log);
    client.close();
    for (const id of [conversationId, asking.conversationId, other])
      await eventually(async () =>
        (await found('HoldfastState="idle" AND HoldfastProvider="scripted"')).includes(
          `conversation:${id}`,
        ),
      );
  },
);

test(
  'A1 A3 T1 it dies under a burst of sends: what was acknowledged is done once, what was refused as not accepted never comes',
  { timeout: 4 * RECOVERED_WITHIN_MS },
  async () => {
    const places = await Promise.all(Array.from({ length: 8 }, () => newConversation(holdfast)));
    const answers: Answered[] = [];
    const burst = Promise.all(
      places.map(async (conversationId) => {
        for (let index = 0; index < 12; index += 1) {
          const body = { requestId: `r${index}`, content: script(`text "${index} "`) };
          const answer = await post(conversationId, body);
          const { accepted } = answer.body as { accepted?: unknown };
          answers.push({ conversationId, ...body, status: answer.status, accepted });
        }
      }),
    );
    // In the middle of it: some have their answer, eight are on their way, more will come.
    await eventually(() => answers.length > 30);
    await withoutTemporal(async () => {
      await eventually(
        () => answers.filter(({ accepted }) => accepted === false).length >= 8,
        30_000,
      );
    });
    await burst;
    const others = answers.filter(({ status }) => ![200, 202, 503].includes(status));
    expect(others).toEqual([]);

    for (const conversationId of places) {
      const idsOf = (which: (answer: Answered) => boolean): string[] =>
        answers
          .filter((answer) => answer.conversationId === conversationId && which(answer))
          .map(({ requestId }) => requestId);
      const accepted = idsOf(({ status }) => status !== 503);
      // None of them is sent again: a repeat would make good what was lost.
      await eventually(async () => {
        const view = await viewOf({ holdfast, conversationId });
        const known = new Set(
          (await readLog(holdfast, conversationId)).map((event) => event.requestId),
        );
        return view.state === 'idle' && accepted.every((requestId) => known.has(requestId));
      }, RECOVERED_WITHIN_MS);
      // Behind whatever else Temporal still has for it.
      const { text } = await endOf(conversationId, {
        requestId: 'last',
        content: script('text "last"'),
      });
      expect(text).toBe('last');
      const log = await readLog(holdfast, conversationId);
      const started = log.flatMap(({ type, requestId }) =>
        type === 'chat.started' && requestId !== undefined ? [requestId] : [],
      );
      expectWholeLog({
        log,
        text: started.map((id) => (id === 'last' ? 'last' : `${id.slice(1)} `)).join(''),
      });
      expect(new Set(started).size).toBe(started.length);
      expect(started).toEqual(expect.arrayContaining([...accepted, 'last']));
      // Of those whose fate is unknown, both are true.
      const refused = idsOf((answer) => answer.accepted === false);
      expect(started.filter((requestId) => refused.includes(requestId))).toEqual([]);
    }
  },
);
