/**
 * A conversation as an operator meets it in Temporal: with the `temporal` program, nothing of ours in between.
 * The commands are those of docs/operating.md. Numbers: design.md section 12.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { describe, expect, test } from 'vitest';

import type { WorkflowSnapshotValue } from '../../../src/contracts/signals.ts';
import type { ConversationViewValue, TurnViewValue } from '../../../src/contracts/view.ts';
import { textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import { temporalBinary } from '../../support/temporal.ts';
import { newConversation, readLog, script, send, words } from './conversations.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const run = promisify(execFile);

const holdfast = sharedHoldfast();

/** Runs `temporal <args>` against our server, untouched by anyone's Temporal profile. */
async function temporal(...args: string[]): Promise<string> {
  const { stdout } = await run(temporalBinary(), [...args, '--address', holdfast.temporal], {
    // It looks for a configuration in its home.
    env: { PATH: process.env['PATH'], HOME: holdfast.workspace },
  });
  return stdout;
}

async function temporalJson<T>(...args: string[]): Promise<T> {
  return JSON.parse(await temporal(...args, '--output', 'json')) as T;
}

const workflow = (conversationId: string): string[] => [
  '--workflow-id',
  `conversation:${conversationId}`,
];

async function signal(conversationId: string, name: string, input: unknown): Promise<void> {
  const args = ['--name', name, '--input', JSON.stringify(input)];
  await temporal('workflow', 'signal', ...workflow(conversationId), ...args);
}

async function snapshotOf(conversationId: string): Promise<ConversationViewValue> {
  return holdfast.ask({ path: `/v1/conversations/${conversationId}` });
}

async function newestTurn(conversationId: string): Promise<TurnViewValue> {
  const path = `/v1/conversations/${conversationId}/turns?limit=1`;
  const { items } = await holdfast.ask<{ items: TurnViewValue[] }>({ path });
  const [turn] = items;
  if (turn === undefined) throw new Error('there is no turn');
  return turn;
}

/** Starts a turn that streams until it is cancelled; answers with its id once it has said something. */
async function streaming(conversationId: string): Promise<string> {
  await holdfast.ask({
    path: `/v1/conversations/${conversationId}/messages`,
    body: { requestId: 'long', content: script('words 100000 every 5') },
  });
  const view = await eventually(async () => {
    const now = await snapshotOf(conversationId);
    return textOf(now).includes('w5 ') && now;
  });
  return view.activeTurn?.turnId ?? '';
}

type Payload = { data: string };
type Description = {
  workflowExecutionInfo: { searchAttributes: { indexedFields: Record<string, Payload> } };
  pendingActivities?: {
    activityType: { name: string };
    state: string;
    attempt: number;
    heartbeatDetails?: unknown[];
  }[];
};

/** Search attributes are shown as they travel: JSON in base64. */
function decoded(payload: Payload | undefined): unknown {
  return payload === undefined
    ? undefined
    : JSON.parse(Buffer.from(payload.data, 'base64').toString('utf8'));
}

describe('a running turn', () => {
  test('is readable: state in words, the pending turn with its heartbeat, the search attributes, the snapshot query', async () => {
    const conversationId = await newConversation(holdfast);
    const turnId = await streaming(conversationId);
    const provider = await holdfast.providerOf(turnId);

    const description = await eventually(async () => {
      const found = await temporalJson<Description>(
        'workflow',
        'describe',
        ...workflow(conversationId),
      );
      return found.pendingActivities?.[0]?.heartbeatDetails !== undefined && found;
    });
    const [activity] = description.pendingActivities ?? [];
    expect(description.pendingActivities).toHaveLength(1);
    expect(activity?.activityType.name).toBe('runTurn');
    expect(activity?.attempt).toBe(1);
    // The first heartbeat may come before the provider does; a later one says which process it is, and how far.
    await eventually(async () => {
      const found = await temporalJson<Description>(
        'workflow',
        'describe',
        ...workflow(conversationId),
      );
      const details = found.pendingActivities?.[0]?.heartbeatDetails?.[0];
      expect(details).toMatchObject({ pid: provider.pid, phase: 'streaming' });
      return true;
    });

    const attributes = description.workflowExecutionInfo.searchAttributes.indexedFields;
    expect(decoded(attributes['HoldfastState'])).toBe('processing');
    expect(decoded(attributes['HoldfastProvider'])).toBe('scripted');
    expect(decoded(attributes['HoldfastTurnStartedAt'])).toMatch(/^\d{4}-\d{2}-\d{2}T/);

    const inWords = new RegExp(
      `^Processing turn ${turnId}, attempt 1, on host \\S+, since \\S+\\.$`,
    );
    const metadata = await temporal('workflow', 'metadata', ...workflow(conversationId));
    expect(metadata.split('\n').map((line) => line.trim())).toEqual(
      expect.arrayContaining([expect.stringMatching(inWords)]),
    );
    const query = ['--type', 'snapshot'];
    const { queryResult } = await temporalJson<{ queryResult: WorkflowSnapshotValue[] }>(
      'workflow',
      'query',
      ...workflow(conversationId),
      ...query,
    );
    expect(queryResult[0]).toMatchObject({ state: 'processing', turn: { turnId, attempt: 1 } });

    const found = await eventually(async () => {
      const list = await temporal('workflow', 'list', '--query', 'HoldfastState="processing"');
      return list.includes(`conversation:${conversationId}`) && list;
    });
    expect(found).toContain('conversation');

    await holdfast.ask({ path: `/v1/conversations/${conversationId}/cancel?wait=end`, body: {} });
    await eventually(async () => {
      const text = await temporal('workflow', 'metadata', ...workflow(conversationId));
      return /^\s*Idle\.\s*$/m.test(text);
    });
  });

  test('C1 is ended by an operator’s cancel signal, and its partial answer is kept', async () => {
    const conversationId = await newConversation(holdfast);
    const turnId = await streaming(conversationId);
    await signal(conversationId, 'cancel', {});
    const view = await eventually(async () => {
      const now = await snapshotOf(conversationId);
      return now.state === 'idle' && now;
    });
    expect(words(100_000).startsWith(textOf(view))).toBe(true);
    expect(textOf(view)).toContain('w5 ');
    expect(await newestTurn(conversationId)).toMatchObject({
      turnId,
      outcome: 'cancelled',
      cause: 'operator',
    });
    const ends = (await readLog(holdfast, conversationId)).filter(
      ({ type }) => type === 'chat.cancelled',
    );
    expect(ends).toMatchObject([{ turnId, attempt: 1, payload: { by: 'operator' } }]);
  });
});

describe('an operator’s signals', () => {
  test('A1 send takes the same way as a client’s, and repeats like one', async () => {
    const conversationId = await newConversation(holdfast);
    const content = script('text "from the operator"');
    await signal(conversationId, 'send', { requestId: 'op-1', content });
    await signal(conversationId, 'send', { requestId: 'op-1', content });
    const answer = await send(holdfast, conversationId, content, 'op-1');
    expect(answer).toMatchObject({ outcome: 'completed', text: 'from the operator' });
    const log = await readLog(holdfast, conversationId);
    expect(log.filter(({ type }) => type === 'chat.started')).toHaveLength(1);
  });

  test('retry starts a new attempt of a turn that failed, and the earlier one stays readable', async () => {
    const conversationId = await newConversation(holdfast);
    const failed = await send(holdfast, conversationId, script('words 3', 'fail out of luck'));
    expect(failed).toMatchObject({ outcome: 'failed' });
    const { turnId } = failed;
    await signal(conversationId, 'retry', { turnId });
    const turn = await eventually(async () => {
      const now = await newestTurn(conversationId);
      return now.attempts.length === 2 && now.outcome === 'failed' && now;
    });
    expect(turn.turnId).toBe(turnId);
    expect(new Map(turn.attempts.map(({ attempt, outcome }) => [attempt, outcome]))).toEqual(
      new Map([
        [1, 'failed'],
        [2, 'failed'],
      ]),
    );
  });

  test('what is no signal of ours changes nothing, and the next send is taken', async () => {
    const conversationId = await newConversation(holdfast);
    await send(holdfast, conversationId, script('text "one"'));
    const before = await readLog(holdfast, conversationId);
    await signal(conversationId, 'send', 'hello');
    await signal(conversationId, 'send', { requestId: '../..', content: 'x' });
    await signal(conversationId, 'cancel', { turnId: 7 });
    await signal(conversationId, 'retry', {});
    await signal(conversationId, 'resolveApproval', { approvalId: 'none', decision: 'allow' });
    expect(await send(holdfast, conversationId, script('text "two"'))).toMatchObject({
      text: 'two',
    });
    const log = await readLog(holdfast, conversationId);
    expect(log.slice(0, before.length)).toEqual(before);
    expect(log[before.length]).toMatchObject({ type: 'message.created' });
  });

  test('resolveApproval answers an open approval, once', async () => {
    const conversationId = await newConversation(holdfast);
    const path = `/v1/conversations/${conversationId}/messages`;
    const body = { requestId: 'asks', content: script('ask deploy', 'text "done"') };
    await holdfast.ask({ path, body });
    const { approvalId } = await eventually(
      async () => (await snapshotOf(conversationId)).approvals[0],
    );
    // What is no answer leaves the approval open.
    await signal(conversationId, 'resolveApproval', { approvalId, decision: 'yes' });
    await signal(conversationId, 'resolveApproval', 'deny');
    await signal(conversationId, 'resolveApproval', { approvalId, decision: 'deny' });
    await signal(conversationId, 'resolveApproval', { approvalId, decision: 'allow' });
    const answer = await holdfast.ask({ path: `${path}?wait=end`, body });
    expect(answer).toMatchObject({ outcome: 'completed' });
    const log = await readLog(holdfast, conversationId);
    const resolved = log.filter(({ type }) => type === 'approval.resolved');
    expect(resolved).toMatchObject([{ payload: { approvalId, decision: 'deny', by: 'operator' } }]);
  });
});

test('A2 a Workflow that was terminated in mid-turn costs nothing: the next send starts it again from the store', async () => {
  const conversationId = await newConversation(holdfast);
  const path = `/v1/conversations/${conversationId}/messages`;
  const body = { requestId: 'first', content: script('words 300 every 5') };
  await holdfast.ask({ path, body });
  await eventually(async () => textOf(await snapshotOf(conversationId)).includes('w5 '));
  await temporal('workflow', 'terminate', ...workflow(conversationId));

  expect(await send(holdfast, conversationId, script('text "second"'))).toMatchObject({
    status: 'queued',
    outcome: 'completed',
    text: 'second',
  });
  const first = await holdfast.ask({ path: `${path}?wait=end`, body });
  expect(first).toMatchObject({ status: 'started', outcome: 'completed', text: words(300) });
  const log = await readLog(holdfast, conversationId);
  expect(log.map(({ seq }) => seq)).toEqual(log.map((_event, index) => index + 1));
  expect(log.filter(({ type }) => type === 'chat.started')).toHaveLength(2);
});
