/**
 * Another process holds the store's write lock in mid-turn, for longer than any write waits for it. Numbers: design.md
 * section 12.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, expect, test } from 'vitest';

import type { SendAnswerValue } from '../../../src/contracts/http.ts';
import type { ReceiptValue } from '../../../src/contracts/view.ts';
import { isSameProcess } from '../../../src/providers/process/process-table.ts';
import { eventually } from '../../support/eventually.ts';
import { type Program, runProgram } from '../../support/program.ts';
import { SteadyClient } from '../../support/steady-client.ts';
import { newConversation, readLog, script, words } from './conversations.ts';
import { allow, endsOf, expectWholeLog, RECOVERED_WITHIN_MS, viewOnce } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const lockProgram = fileURLToPath(new URL('../../fixtures/store-lock.mjs', import.meta.url));

const holdfast = sharedHoldfast();
let locker: Program | null = null;

afterAll(async () => {
  locker?.kill('SIGKILL');
});

/** Takes the store's write lock, in a process of its own; answers with how to let go. */
async function lockStore(): Promise<() => Promise<void>> {
  const program = runProgram({
    program: process.execPath,
    args: [lockProgram, join(holdfast.home, 'holdfast.db')],
    environment: holdfast.environment,
  });
  locker = program;
  await eventually(() => program.stdout() === 'locked\n', 30_000);
  return async () => {
    program.kill('SIGTERM');
    expect(await program.ended).toBe(0);
  };
}

test(
  'A1 A2 A3 F2 L1 the store is locked for longer than a write waits: nothing is lost, nothing is done by halves, and all of it goes on',
  { timeout: 3 * RECOVERED_WITHIN_MS },
  async () => {
    const conversationId = await newConversation(holdfast);
    const place = { holdfast, conversationId };
    const path = `/v1/conversations/${conversationId}/messages`;
    const long = {
      requestId: 'long',
      content: script('words 600 every 20', 'ask go', 'words 50'),
    };
    const { turnId } = await holdfast.ask<{ turnId: string }>({ path, body: long });
    const client = new SteadyClient({ conversationId, gateway: () => holdfast });
    const { reader } = client;
    await reader.until(() => reader.text.includes('w20 '));
    const provider = await holdfast.providerOf(turnId);
    const spoolBytes = () =>
      statSync(join(holdfast.home, 'spools', `${turnId}.1`, 'out.jsonl')).size;
    const turnHost = await holdfast.process('turn-host');
    const worker = await holdfast.process('worker');

    const letGo = await lockStore();
    const bytesBefore = spoolBytes();
    const logBefore = await readLog(holdfast, conversationId);
    const meanwhile = { requestId: 'meanwhile', content: script('text "meanwhile"') };
    const create = { path: '/v1/conversations', body: { conversationId: 'created-meanwhile' } };
    const [sent, created, view] = await Promise.all([
      holdfast.call({ path, body: meanwhile }),
      holdfast.call(create),
      holdfast.call({ path: `/v1/conversations/${conversationId}` }),
    ]);
    // Durable, and nobody could write down its receipt yet: said as it is.
    expect(sent).toMatchObject({ status: 202, body: { requestId: 'meanwhile', accepted: true } });
    expect(created).toMatchObject({
      status: 503,
      body: { code: 'temporal_unavailable', accepted: true },
    });
    // Who only reads is not in anybody's way.
    expect(view).toMatchObject({ status: 200, body: { state: 'processing' } });
    // Longer than a write waits: this one was refused, and tried again.
    await eventually(
      () =>
        readFileSync(join(holdfast.home, 'logs', 'turn-host.log'), 'utf8').includes(
          'the store refused an append',
        ),
      RECOVERED_WITHIN_MS,
    );
    expect(await readLog(holdfast, conversationId)).toEqual(logBefore);
    expect(spoolBytes()).toBeGreaterThan(bytesBefore);
    await letGo();

    await reader.until(() => reader.text === words(600), RECOVERED_WITHIN_MS);
    const { approvals } = await viewOnce({ ...place, is: (now) => now.approvals.length > 0 });
    // Both without being asked again.
    await reader.until(() => reader.events.some(({ requestId }) => requestId === 'meanwhile'));
    await viewOnce({ holdfast, conversationId: create.body.conversationId, is: () => true });
    const receipt = await holdfast.ask<ReceiptValue>({ path, body: meanwhile });
    expect(receipt).toMatchObject({ status: 'queued', position: 0 });
    expect(isSameProcess(provider)).toBe(true);
    await allow({ ...place, approvalId: approvals[0]?.approvalId ?? '' });
    const answerTo = (body: unknown) =>
      holdfast.ask<SendAnswerValue>({ path: `${path}?wait=end`, body });
    expect(await answerTo(long)).toMatchObject({
      turnId,
      outcome: 'completed',
      text: words(600) + words(50),
    });
    expect(await answerTo(meanwhile)).toMatchObject({
      turnId: receipt.turnId,
      outcome: 'completed',
      text: 'meanwhile',
    });
    expect(await holdfast.ask(create)).toMatchObject({ messages: [], state: 'idle' });
    await reader.until((now) => now.state === 'idle');
    // It was waited for: nobody died of it.
    for (const each of [turnHost, worker]) expect(isSameProcess(each)).toBe(true);

    const log = await readLog(holdfast, conversationId);
    expectWholeLog({ log, text: `${words(600)}${words(50)}meanwhile` });
    expect(endsOf(log)).toEqual([`${turnId}.1 chat.done`, `${receipt.turnId}.1 chat.done`]);
    expect(
      log.filter(({ requestId, type }) => requestId === 'meanwhile' && type === 'chat.queued'),
    ).toHaveLength(1);
    expect(reader.faults).toEqual([]);
    expect(reader.events).toEqual(log);
    client.close();
  },
);
