/** Agents and their mail through the gateway as a process, over real Temporal, worker, turn host and provider. */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';

import {
  createTemporalCommands,
  lazyTemporalConnection,
} from '../../../src/api/temporal-commands.ts';
import type { MailRowValue, TeamViewValue } from '../../../src/contracts/agents.ts';
import { AGENT_BREADTH_LIMIT, AGENT_DEPTH_LIMIT } from '../../../src/contracts/limits.ts';
import { childConversationId } from '../../../src/domain/mail.ts';
import { eventually } from '../../support/eventually.ts';
import { temporalBinary } from '../../support/temporal.ts';
import { type Answer, Stack } from './stack.ts';

let stack: Stack;

beforeAll(async () => {
  stack = new Stack(temporalBinary());
  await stack.startAll();
});
afterAll(() => stack.discard());

const script = (...lines: string[]): string => ['#script', ...lines].join('\n');

/** A command, repeated while it is durable and not known to be recorded: each is carried out once for its id. */
async function carriedOut(path: string, body: object): Promise<Answer> {
  return eventually(async () => {
    const answer = await stack.call('POST', path, body);
    const isPending =
      answer.status === 202 || (answer.status === 503 && answer.body['accepted'] === true);
    return isPending ? null : answer;
  }, 40_000);
}

/** Makes an agent: its conversationId. */
async function spawn(parentId: string, body: object): Promise<string> {
  const answer = await carriedOut(`/v1/conversations/${parentId}/agents`, body);
  if (answer.status !== 200) throw new Error(`not made: ${JSON.stringify(answer)}`);
  return String(answer.body['conversationId']);
}

const tell = (from: string, body: object): Promise<Answer> =>
  carriedOut(`/v1/conversations/${from}/mailbox`, body);

async function mailbox(conversationId: string): Promise<MailRowValue[]> {
  const { body } = await stack.call('GET', `/v1/conversations/${conversationId}/mailbox`);
  return body['items'] as MailRowValue[];
}

async function team(conversationId: string): Promise<TeamViewValue> {
  const { body } = await stack.call('GET', `/v1/conversations/${conversationId}/agents`);
  return body as TeamViewValue;
}

async function prompts(conversationId: string): Promise<string[]> {
  const { body } = await stack.call('GET', `/v1/conversations/${conversationId}`);
  const messages = body['messages'] as { role: string; content: string }[];
  return messages.flatMap(({ role, content }) => (role === 'user' ? [content] : []));
}

/** The mailbox once all of it has been applied. */
async function applied(conversationId: string, count: number): Promise<MailRowValue[]> {
  return eventually(async () => {
    const rows = await mailbox(conversationId);
    return rows.length === count && rows.every(({ state }) => state === 'applied') ? rows : null;
  }, 30_000);
}

test('A3, M1: an agent runs its prompt, and how that ended is told to its parent once', async () => {
  await stack.conversation('root1');
  const child = await spawn('root1', { name: 'Reader', content: script('text "forty-two"') });
  expect(child).toBe(childConversationId('root1', 'reader'));
  const [row] = await applied('root1', 1);
  expect(row).toMatchObject({
    from: 'reader',
    to: 'root',
    kind: 'result',
    outcome: 'completed',
    content: 'forty-two',
  });
  expect(await prompts(child)).toEqual([script('text "forty-two"')]);
  expect(await prompts('root1')).toEqual([
    '[Holdfast mail] Agent Reader (reader) has finished its task and says:\nforty-two',
  ]);
  const view = await eventually(async () => {
    const now = await team(child);
    return now.agents.every(({ state }) => state === 'idle') ? now : null;
  });
  expect(
    view.agents.map(({ agentId, depth, outcome, mail }) => [agentId, depth, outcome, mail.applied]),
  ).toEqual([
    ['root', 0, 'completed', 1],
    ['reader', 1, 'completed', 1],
  ]);
  expect((await stack.log('root1')).filter(({ type }) => type === 'mail.accepted')).toHaveLength(1);
});

test('A2: asked again and at once it is one agent and one message; asked for otherwise 409', async () => {
  await stack.conversation('root2');
  const body = { agentId: 'a', content: script('text "done"') };
  const made = await Promise.all(Array.from({ length: 5 }, () => spawn('root2', body)));
  expect(new Set(made).size).toBe(1);
  const [child = ''] = made;
  await applied('root2', 1);
  expect((await stack.log(child)).filter(({ type }) => type === 'mail.accepted')).toHaveLength(1);
  const otherwise = await carriedOut('/v1/conversations/root2/agents', { ...body, content: 'x' });
  expect([otherwise.status, otherwise.body['code']]).toEqual([409, 'request_id_reused']);
  const message = { to: 'a', content: script('text "told"'), messageId: 'm1' };
  const told = await Promise.all(Array.from({ length: 5 }, () => tell('root2', message)));
  expect(told.map(({ status }) => status)).toEqual(told.map(() => 200));
  await applied(child, 2);
  expect(await prompts(child)).toHaveLength(2);
});

test('a race over a limit: as many as the limit are made, and all others are told so', async () => {
  await stack.conversation('root3');
  const over = 12;
  const all = Array.from({ length: AGENT_BREADTH_LIMIT + over }, (_, n) => `agent${n}`);
  const answers: Answer[] = [];
  const ask = async (): Promise<void> => {
    for (let agentId = all.shift(); agentId !== undefined; agentId = all.shift())
      answers.push(await carriedOut('/v1/conversations/root3/agents', { agentId }));
  };
  // More at once than there is room for at the end.
  await Promise.all(Array.from({ length: 2 * over }, ask));
  const refused = answers.filter(({ status }) => status !== 200);
  expect(refused.map(({ status, body }) => [status, body['code'], body['limit']])).toEqual(
    Array.from({ length: over }, () => [429, 'budget_exceeded', 'breadth']),
  );
  const view = await team('root3');
  expect(view.agents).toHaveLength(AGENT_BREADTH_LIMIT + 1);
}, 180_000);

test('T2: what the store refuses though nothing spoke against it before: its code; nothing is made', async () => {
  await stack.conversation('root7');
  let deepest = 'root7';
  for (let depth = 1; depth <= AGENT_DEPTH_LIMIT; depth += 1)
    deepest = await spawn(deepest, { agentId: `d${depth}` });
  const connection = lazyTemporalConnection({ address: stack.temporalAddress });
  onTestFinished(() => connection.close());
  const commands = createTemporalCommands({
    connection,
    namespace: 'default',
    observe: () => undefined,
  });
  /** As a gateway asks that has counted before others came. */
  const refusal = async (
    conversationId: string,
    link: { agentId: string; parentId: string; depth: number },
  ) => {
    const { agentId: name } = link;
    const place = { tableId: null, provider: 'scripted', model: null, workspacePath: '/' };
    const agent = { name, role: '', rootId: 'root7', task: 'x', ...link };
    const create = { ...place, title: name, agent };
    const spawning = await commands.spawn({ conversationId, create });
    return spawning.refused(AbortSignal.timeout(30_000));
  };
  const deep = { agentId: 'deep', parentId: deepest, depth: AGENT_DEPTH_LIMIT + 1 };
  // The run is over: asked again, another one says the same.
  for (let n = 0; n < 2; n += 1)
    expect(await refusal('too-deep', deep)).toMatchObject({
      code: 'budget_exceeded',
      detail: { limit: 'depth' },
    });
  const double = { agentId: 'd1', parentId: 'root7', depth: 1 };
  expect(await refusal('a-double', double)).toMatchObject({ code: 'request_id_reused' });
  const orphan = { agentId: 'orphan', parentId: 'nobody', depth: 1 };
  expect(await refusal('an-orphan', orphan)).toMatchObject({ code: 'not_found' });
  expect((await team('root7')).agents).toHaveLength(AGENT_DEPTH_LIMIT + 1);
  for (const conversationId of ['too-deep', 'a-double', 'an-orphan'])
    expect((await stack.call('GET', `/v1/conversations/${conversationId}`)).status).toBe(404);
}, 120_000);

test('A3: what comes while the worker is away is 202 or "repeat it", and done once when it is back', async () => {
  await stack.conversation('root4');
  const child = await spawn('root4', { agentId: 'a' });
  await stack.stop('worker');
  const made = await stack.call('POST', '/v1/conversations/root4/agents', {
    name: 'Late',
    content: script('text "late"'),
  });
  expect([made.status, made.body['accepted'], made.body['agentId']]).toEqual([503, true, 'late']);
  const told = await stack.call('POST', '/v1/conversations/root4/mailbox', {
    to: 'a',
    content: script('text "told"'),
    messageId: 'm1',
  });
  expect([told.status, told.body]).toEqual([202, { messageId: 'm1', accepted: true }]);
  const brief = await stack.call('POST', '/v1/conversations/root4/mailbox', {
    to: 'a',
    content: script('text "brief"'),
    messageId: 'm2',
    expiresInMs: 1_000,
  });
  expect(brief.status).toBe(202);
  expect((await team('root4')).agents).toHaveLength(2);
  await stack.start('worker');
  expect(await spawn('root4', { name: 'Late', content: script('text "late"') })).toBe(
    childConversationId('root4', 'late'),
  );
  await applied('root4', 1);
  // The second one has outlived its time before anybody could record it.
  const states = await eventually(async () => {
    const rows = await mailbox(child);
    return rows.length === 2 && rows[0]?.state === 'applied' && rows[1]?.state === 'expired'
      ? rows
      : null;
  }, 30_000);
  expect(states[1]).toMatchObject({ messageId: 'm2', reason: 'expired' });
  const again = await carriedOut(`/v1/conversations/${child}/mailbox/m2/resend`, {});
  expect(again.status).toBe(200);
  await applied(child, 2);
  expect(await prompts(child)).toEqual([
    `[Holdfast mail] Message from agent root:\n${script('text "told"')}`,
    `[Holdfast mail] Message from agent root:\n${script('text "brief"')}`,
  ]);
});

test('A2: the gateway is killed while it waits; the same request to the next one is the same agent and message', async () => {
  await stack.conversation('root5');
  await stack.stop('worker');
  const body = { agentId: 'a', content: script('text "done"') };
  const asked = stack.call('POST', '/v1/conversations/root5/agents', body);
  asked.catch(() => undefined);
  // What it has signalled is durable: the one that is killed has either done so, or the repetition does.
  await stack.stop('gateway', 'SIGKILL');
  await asked.catch(() => undefined);
  await Promise.all([stack.start('gateway'), stack.start('worker')]);
  const child = await spawn('root5', body);
  await applied('root5', 1);
  expect(await prompts(child)).toHaveLength(1);
  expect((await team('root5')).agents).toHaveLength(2);
});

test('cancel with cascade stops what runs and holds what waits, in every agent below; nothing starts again by itself', async () => {
  await stack.conversation('root6');
  await carriedOut('/v1/conversations/root6/messages', {
    requestId: 'r1',
    content: script('hang'),
  });
  const child = await spawn('root6', { agentId: 'a', content: script('text "on it"', 'hang') });
  const below = await spawn(child, { agentId: 'below', content: script('text "on it"', 'hang') });
  await tell('root6', { to: 'below', content: 'wait', messageId: 'm1' });
  const all = ['root6', child, below];
  await eventually(async () =>
    (await team('root6')).agents.every(({ state }) => state === 'processing'),
  );
  const { body } = await stack.call('POST', '/v1/conversations/root6/cancel?wait=end', {
    cascade: true,
  });
  expect(body['outcome']).toBe('cancelled');
  await eventually(
    async () => (await team('root6')).agents.every(({ state }) => state === 'idle'),
    30_000,
  );
  const told = await eventually(async () => {
    const rows = [...(await mailbox('root6')), ...(await mailbox(child))];
    const ends = rows.filter(({ kind }) => kind === 'error');
    return ends.length === 2 ? ends : null;
  });
  for (const row of told) expect(row).toMatchObject({ state: 'accepted', outcome: 'cancelled' });
  expect((await mailbox(below)).at(-1)).toMatchObject({ messageId: 'm1', state: 'delivered' });
  for (const id of all) {
    const view = await stack.call('GET', `/v1/conversations/${id}`);
    expect(view.body).toMatchObject({ conversationId: id, state: 'idle', activeTurn: null });
  }
  expect((await stack.call('GET', `/v1/conversations/${below}`)).body['held']).toBe(true);
  // It goes along with what a person starts next.
  await carriedOut('/v1/conversations/root6/messages', {
    requestId: 'r2',
    content: script('text "go on"'),
  });
  await applied('root6', 1);
});
