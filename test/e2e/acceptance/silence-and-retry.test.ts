/**
 * A provider that hangs: called quiet, then stopped, then tried again by an operator with the `temporal` program. Numbers:
 * design.md section 12.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';

import { expect, test } from 'vitest';

import type { EventPayloads, EventType } from '../../../src/contracts/events.ts';
import type { ReceiptValue } from '../../../src/contracts/view.ts';
import { identify, isSameProcess, markOf } from '../../../src/providers/process/process-table.ts';
import { eventually } from '../../support/eventually.ts';
import { temporalBinary } from '../../support/temporal.ts';
import { newConversation, readLog, script } from './conversations.ts';
import { endsOf, processesOf, turnOf, viewOf, viewOnce } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const run = promisify(execFile);

const QUIET_AFTER_MS = 700;
const STALLED_AFTER_MS = 2_500;

const holdfast = sharedHoldfast({
  // Only once it has begun to speak: a busy machine may take seconds to start a program.
  HOLDFAST_QUIET_AFTER_MS: `120000,streaming=${QUIET_AFTER_MS}`,
  HOLDFAST_STALLED_AFTER_MS: `600000,streaming=${STALLED_AFTER_MS}`,
  HOLDFAST_CANCEL_GRACE_MS: '300',
  HOLDFAST_TERM_GRACE_MS: '300',
});

/** `temporal workflow signal`, as docs/operating.md has it. */
async function signalRetry(conversationId: string, turnId: string): Promise<void> {
  const workflow = ['--workflow-id', `conversation:${conversationId}`];
  const signal = ['--name', 'retry', '--input', JSON.stringify({ turnId })];
  const args = ['workflow', 'signal', ...workflow, ...signal, '--address', holdfast.temporal];
  // Untouched by anyone's Temporal profile, which it looks for in its home.
  const env = { PATH: process.env['PATH'], HOME: holdfast.workspace };
  await run(temporalBinary(), args, { env });
}

test('P1 P3 a hung provider is called quiet, with evidence, then stopped; a retry by the temporal program completes; both attempts stay readable', async () => {
  const conversationId = await newConversation(holdfast);
  const place = { holdfast, conversationId };
  const said = ['words 3', 'say session'];
  const content = script('tool look', ...said, 'ignore-cancel', 'hang once', 'text " and on"');
  const { turnId } = await holdfast.ask<ReceiptValue>({
    path: `/v1/conversations/${conversationId}/messages`,
    body: { requestId: 'hangs', content },
  });
  const turn = { ...place, turnId: turnId ?? '' };
  const payloads = async <T extends EventType>(type: T): Promise<EventPayloads[T][]> =>
    (await readLog(holdfast, conversationId)).flatMap((event) =>
      event.type === type ? [event.payload as EventPayloads[T]] : [],
    );

  const quiet = await eventually(async () => (await payloads('chat.quiet'))[0]);
  const provider = identify(Number(quiet.evidence['pid']));
  if (provider === null) throw new Error('the process of the evidence does not live');
  expect(markOf(provider.pid)).toBe(`${turn.turnId}.1`);
  expect(readFileSync(`/proc/${provider.pid}/cmdline`, 'utf8').split('\0')).toContain(
    '--session-id',
  );
  expect(quiet).toMatchObject({
    phase: 'streaming',
    evidence: { lastEvent: 'chat.delta', processAlive: true, processes: 2 },
  });
  expect(quiet.silentMs).toBeGreaterThanOrEqual(QUIET_AFTER_MS);
  const { lastOutputAt, cpuMsUsed, cpuMsUsedSince } = quiet.evidence;
  expect(cpuMsUsed).toBeGreaterThanOrEqual(0);
  for (const at of [lastOutputAt, cpuMsUsedSince]) expect(Date.parse(String(at))).not.toBeNaN();

  await viewOnce({ ...place, is: (view) => view.state === 'idle' });
  expect(isSameProcess(provider)).toBe(false);
  expect(processesOf(turn)).toEqual([]);
  const [interrupted] = await payloads('chat.interrupted');
  expect(interrupted).toMatchObject({ cause: 'stalled', retryable: true, toolsStarted: 1 });
  expect(interrupted?.message).toContain('streaming');
  const steps = (await payloads('chat.cancelling')).map(({ step }) => step);
  // Nobody asked for it, so there is no `requested`.
  expect(steps).toEqual(['protocol', 'terminate', 'kill', 'sweep']);
  expect(await payloads('chat.quiet')).toHaveLength(1);
  // Never by itself: what the provider did cannot be known.
  expect((await turnOf(turn)).attempts).toHaveLength(1);

  await signalRetry(conversationId, turn.turnId);
  const { attempts } = await eventually(async () => {
    const now = await turnOf(turn);
    return now.outcome === 'completed' && now;
  });
  const newestFirst = attempts.toSorted((a, b) => b.attempt - a.attempt);
  expect(newestFirst).toMatchObject([
    { attempt: 2, outcome: 'completed', cause: null },
    { attempt: 1, outcome: 'interrupted', cause: 'stalled' },
  ]);
  const log = await readLog(holdfast, conversationId);
  expect(endsOf(log.filter((event) => event.turnId === turnId))).toEqual([
    `${turnId}.1 chat.interrupted`,
    `${turnId}.2 chat.done`,
  ]);
  const { messages } = await viewOf(place);
  const textsOf = (attempt: number) =>
    messages
      .filter((row) => row.turnId === turnId && row.attempt === attempt && row.kind === 'text')
      .filter(({ role }) => role === 'assistant')
      .map(({ status, content: text }) => ({ status, text }));
  const [first] = textsOf(1);
  const [second] = textsOf(2);
  expect(first?.text).toMatch(/^w0 w1 w2 [0-9a-f-]{36}$/);
  // The same session of the provider, in another process.
  expect([first, second]).toEqual([
    { status: 'partial', text: first?.text },
    { status: 'complete', text: `${first?.text} and on` },
  ]);
  expect(await payloads('chat.quiet')).toHaveLength(1);
});
