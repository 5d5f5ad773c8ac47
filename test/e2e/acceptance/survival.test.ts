/**
 * What may die while a turn runs: each process of Holdfast, all of them by Ctrl-C, the supervisor. The provider goes on,
 * and its answer is complete, once. Numbers: design.md section 12.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { describe, expect, test } from 'vitest';

import type { SendAnswerValue } from '../../../src/contracts/http.ts';
import type { ConversationViewValue } from '../../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../../src/domain/fold.ts';
import {
  isSameProcess,
  type ProcessIdentity,
} from '../../../src/providers/process/process-table.ts';
import { textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import { newConversation, readLog, script, words } from './conversations.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

/** Streams for more than two seconds, then waits for a person: so that it runs for as long as the test needs it to. */
const steps = script('words 400 every 6', 'ask go', 'words 50 every 2');
const requestId = 'long';

/** Four times what the log has when all is well. */
const WAL_LIMIT_BYTES = 16 * 2 ** 20;

const holdfast = sharedHoldfast({
  HOLDFAST_WEDGED_AFTER_MS: '6000',
  HOLDFAST_TEMPORAL_WAL_LIMIT_BYTES: String(WAL_LIMIT_BYTES),
});

type Running = { conversationId: string; turnId: string; provider: ProcessIdentity };

/** A turn that streams. */
async function streaming(): Promise<Running> {
  const conversationId = await newConversation(holdfast);
  await holdfast.ask({
    path: `/v1/conversations/${conversationId}/messages`,
    body: { requestId, content: steps },
  });
  const { activeTurn } = await eventually(async () => {
    const view = await viewOf(conversationId);
    return textOf(view).includes('w20 ') && view;
  });
  const turnId = activeTurn?.turnId ?? '';
  return { conversationId, turnId, provider: await holdfast.providerOf(turnId) };
}

async function viewOf(conversationId: string): Promise<ConversationViewValue> {
  return holdfast.ask({ path: `/v1/conversations/${conversationId}` });
}

/** Lets the turn go on to its end, and checks that nothing of it is missing or there twice. */
async function completes({ conversationId, turnId, provider }: Running): Promise<void> {
  // Whatever died may still be coming back: until then the API refuses, or nobody is there.
  const approval = await eventually(
    async () => (await viewOf(conversationId)).approvals[0],
    30_000,
  );
  expect(isSameProcess(provider)).toBe(true);
  expect(await holdfast.providerOf(turnId)).toEqual(provider);
  await eventually(async () => {
    const path = `/v1/conversations/${conversationId}/approvals/${approval.approvalId}`;
    const { status } = await holdfast.call({ path, body: { decision: 'allow' } });
    return status === 200 || status === 202;
  }, 30_000);
  const answer = await eventually(async () => {
    const path = `/v1/conversations/${conversationId}/messages?wait=end`;
    const { status, body } = await holdfast.call({ path, body: { requestId, content: steps } });
    return status === 200 && (body as SendAnswerValue);
  }, 30_000);
  expect(answer).toMatchObject({ turnId, outcome: 'completed', text: words(400) + words(50) });

  // L1 and L4 of what is recorded, and one end (A1).
  const log = await readLog(holdfast, conversationId);
  expect(log.map(({ seq }) => seq)).toEqual(log.map((_event, index) => index + 1));
  expect(textOf(foldEvents(emptyView(conversationId), log))).toBe(words(400) + words(50));
  expect(log.filter(({ type }) => type === 'chat.started')).toHaveLength(1);
  expect(log.filter(({ type }) => type === 'chat.done')).toHaveLength(1);
  expect(log.filter(({ type }) => type === 'chat.interrupted')).toHaveLength(0);
  const epochs = log.flatMap((event) =>
    event.type === 'chat.attached' ? [event.payload.epoch] : [],
  );
  expect(epochs).toEqual(epochs.toSorted((a, b) => a - b));
  // Temporal hears of the end from the activity's next attempt, when it was the turn host that died.
  await eventually(async () => (await viewOf(conversationId)).state === 'idle', 30_000);
}

describe('kill -9 in mid-turn', () => {
  test.each(['gateway', 'worker', 'turn-host', 'temporal'] as const)(
    'F2 of the %s: the turn completes, its text once, by the same provider process',
    async (role) => {
      const turn = await streaming();
      const victim = await holdfast.process(role);
      process.kill(victim.pid, 'SIGKILL');
      await holdfast.process(role, victim);
      await completes(turn);
      if (role !== 'turn-host') return;
      const log = await readLog(holdfast, turn.conversationId);
      expect(log.filter(({ type }) => type === 'chat.attached')).toHaveLength(1);
    },
  );

  test('F2 of the supervisor: the next start takes over what it left', async () => {
    const turn = await streaming();
    const left = await holdfast.process('gateway');
    await holdfast.killSupervisor();
    expect(isSameProcess(turn.provider)).toBe(true);
    await holdfast.start();
    expect(isSameProcess(left)).toBe(false);
    await completes(turn);
  });
});

test.each(['gateway', 'worker', 'turn-host', 'temporal'] as const)(
  'W1 the %s is stopped and never goes on: it is replaced, and the turn completes, its text once',
  async (role) => {
    const turn = await streaming();
    const victim = await holdfast.process(role);
    process.kill(victim.pid, 'SIGSTOP');
    await holdfast.process(role, victim);
    expect(isSameProcess(victim)).toBe(false);
    await completes(turn);
  },
);

test('W1 the temporal can no longer checkpoint its database: it is replaced, and the turn completes, its text once', async () => {
  const turn = await streaming();
  const victim = await holdfast.process('temporal');
  const wal = join(holdfast.home, 'temporal.db-wal');
  /** Some megabytes into Temporal's database; what is refused meanwhile is not missed. */
  const write = async (): Promise<void> => {
    const content = `${script('text "x"')}\n# ${'x'.repeat(400_000)}`;
    const call = async (path: string, body: unknown): Promise<void> => {
      await holdfast.call({ path, body }).catch(() => undefined);
    };
    await Promise.all(
      Array.from({ length: 5 }, async () => {
        const conversationId = randomUUID();
        await call('/v1/conversations', { conversationId, provider: 'scripted' });
        await call(`/v1/conversations/${conversationId}/messages`, { requestId: 'r', content });
      }),
    );
  };
  // Whatever reads and does not end does it; that of the server's own driver cannot be had on demand.
  const reader = new DatabaseSync(join(holdfast.home, 'temporal.db'), { readOnly: true });
  reader.exec('BEGIN');
  reader.prepare('SELECT count(*) FROM sqlite_schema').get();
  try {
    await eventually(async () => {
      await write();
      return !isSameProcess(victim);
    });
  } finally {
    reader.close();
  }
  await holdfast.process('temporal', victim);
  const said = readFileSync(join(holdfast.home, 'logs', 'supervisor.log'), 'utf8');
  expect(said).toContain(`temporal no longer checkpoints its database: ${wal}`);
  await completes(turn);
  // Begun again, it is cut to what it may keep (temporal-dev.sh).
  await eventually(async () => {
    if (statSync(wal).size <= WAL_LIMIT_BYTES) return true;
    await write();
    return false;
  });
});

test('C2 Ctrl-C in mid-turn does not stop the provider; started again, the text is complete and appears once', async () => {
  const turn = await streaming();
  const others = await Promise.all(
    (['gateway', 'worker', 'turn-host', 'temporal'] as const).map((role) => holdfast.process(role)),
  );
  expect(await holdfast.pressCtrlC()).toBe(0);
  expect(others.filter((each) => isSameProcess(each))).toEqual([]);
  expect(isSameProcess(turn.provider)).toBe(true);
  await holdfast.start();
  await completes(turn);
});
