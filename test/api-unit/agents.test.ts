/** Agents and their mail over HTTP. The numbers in titles are those of design.md section 12. */
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { MailRowValue, TeamViewValue } from '../../src/contracts/agents.ts';
import { HoldfastError } from '../../src/contracts/errors.ts';
import type { AgentLinkValue, AgentViewValue } from '../../src/contracts/events.ts';
import { appendKey, conversationStream, teamStream } from '../../src/contracts/ids.ts';
import {
  AGENT_BREADTH_LIMIT,
  AGENT_DEPTH_LIMIT,
  AGENT_LIMIT,
  MAIL_EXPIRY_LIMIT_MS,
  MAILBOX_LIMIT,
  PROMPT_LIMIT_BYTES,
  TITLE_LIMIT_CHARS,
} from '../../src/contracts/limits.ts';
import { childConversationId } from '../../src/domain/mail.ts';
import { eventually } from '../support/eventually.ts';
import { type Answer, Gateway, type GatewayOptions } from './gateway-harness.ts';
import type { Frame } from './raw-socket.ts';
import { WorkflowDouble } from './workflow-double.ts';

const spawnPath = '/v1/conversations/c1/agents';
const mailPath = '/v1/conversations/c1/mailbox';

/** A gateway with the root c1. */
async function withRoot(options?: GatewayOptions): Promise<Gateway> {
  const gateway = await Gateway.start(options);
  await gateway.conversation();
  return gateway;
}

/** A root c1 with the idle agents a and b, whose conversationIds come too. */
async function withTwo(
  options?: GatewayOptions,
): Promise<{ gateway: Gateway; a: string; b: string }> {
  const gateway = await withRoot(options);
  const a = await gateway.agent('c1', { agentId: 'a' });
  const b = await gateway.agent('c1', { agentId: 'b' });
  return { gateway, a, b };
}

async function team(gateway: Gateway, conversationId = 'c1'): Promise<TeamViewValue> {
  const { status, body } = await gateway.get(`/v1/conversations/${conversationId}/agents`);
  expect(status).toBe(200);
  return body as TeamViewValue;
}

async function mailbox(
  gateway: Gateway,
  conversationId = 'c1',
  query = '',
): Promise<MailRowValue[]> {
  const { status, body } = await gateway.get(`/v1/conversations/${conversationId}/mailbox${query}`);
  expect(status).toBe(200);
  return body['items'] as MailRowValue[];
}

const detail = ({ status, body }: Answer): unknown[] => [status, body['code']];
const types = (log: readonly Frame[]): string[] => log.map(({ type }) => type);

/** What there is of a team, to see that nothing was added. */
async function stored(gateway: Gateway, ...conversationIds: string[]): Promise<unknown> {
  const all = ['c1', ...conversationIds];
  return {
    seqs: await Promise.all(all.map((id) => gateway.lastSeq(id))),
    mail: await Promise.all(all.map((id) => mailbox(gateway, id, '?box=any'))),
    team: await team(gateway),
    spawns: gateway.workflow.spawns,
    signals: gateway.workflow.signals.length,
  };
}

/** Makes agents behind the gateway's back: `count` children of a parent. */
async function fill(
  gateway: Gateway,
  count: number,
  link: Pick<AgentLinkValue, 'parentId' | 'depth'>,
): Promise<string[]> {
  const made: string[] = [];
  for (let n = 0; n < count; n += 1) {
    const agentId = `fill-${link.parentId.slice(-8)}-${n}`;
    made.push(await makeAgent(gateway, { ...link, agentId }));
  }
  return made;
}

async function makeAgent(
  gateway: Gateway,
  link: Pick<AgentLinkValue, 'parentId' | 'depth' | 'agentId'>,
): Promise<string> {
  const { agentId } = link;
  const conversationId = childConversationId('c1', agentId);
  await gateway.store.append({
    stream: conversationStream(conversationId),
    key: appendKey.created(),
    events: [
      {
        type: 'conversation.created',
        payload: {
          tableId: null,
          title: agentId,
          provider: 'scripted',
          model: null,
          workspacePath: gateway.workspace,
          agent: { name: agentId, role: '', rootId: 'c1', ...link },
        },
      },
    ],
  });
  return conversationId;
}

describe('spawn', () => {
  it('A3: answers when child, link and first prompt are recorded; the prompt runs in the child', async () => {
    const gateway = await withRoot();
    await gateway.patch('/v1/conversations/c1', { model: 'large' });
    const { status, body } = await gateway.post(spawnPath, {
      name: 'The Planner',
      role: 'plans',
      content: 'make a plan',
    });
    const conversationId = childConversationId('c1', 'the-planner');
    expect([status, body]).toEqual([200, { agentId: 'the-planner', conversationId }]);
    const [created, task] = await gateway.log(conversationId);
    const agent = {
      agentId: 'the-planner',
      name: 'The Planner',
      role: 'plans',
      rootId: 'c1',
      parentId: 'c1',
      depth: 1,
    };
    expect(created).toMatchObject({
      type: 'conversation.created',
      payload: {
        tableId: null,
        title: 'The Planner',
        provider: 'scripted',
        model: 'large',
        workspacePath: gateway.workspace,
        agent,
      },
    });
    expect(task).toMatchObject({
      type: 'mail.accepted',
      payload: { messageId: 'task', from: 'c1', kind: 'task', content: 'make a plan' },
    });
    await gateway.workflow.quiet();
    const { body: view } = await gateway.get(`/v1/conversations/${conversationId}`);
    expect(view).toMatchObject({ state: 'processing', messages: [{ content: 'make a plan' }] });
    const { agents } = await team(gateway);
    expect(agents.map((each) => [each.agentId, each.state, each.mail.applied])).toEqual([
      ['root', 'idle', 0],
      ['the-planner', 'processing', 1],
    ]);
  });

  it('without a prompt it is idle until somebody writes to it', async () => {
    const gateway = await withRoot();
    const child = await gateway.agent('c1', { agentId: 'a' });
    await gateway.workflow.quiet();
    expect((await gateway.get(`/v1/conversations/${child}`)).body).toMatchObject({
      state: 'idle',
      title: 'a',
      messages: [],
    });
    expect(await mailbox(gateway, child)).toEqual([]);
  });

  it.each([
    ['as given', { agentId: 'Reader_1', name: 'x' }, /^Reader_1$/],
    ['from the name', { name: 'Élan vital!' }, /^elan-vital$/],
    ['a new one', {}, /^agent-[0-9a-f]{16}$/],
    ['a new one where nothing of the name can be in it', { name: '計画' }, /^agent-[0-9a-f]{16}$/],
  ])('the agentId is %s', async (_what, body, agentId) => {
    const gateway = await withRoot();
    const answer = await gateway.post(spawnPath, body);
    expect(String(answer.body['agentId'])).toMatch(agentId);
  });

  it('A2: asked again it is the same agent, also when it and its parent have changed meanwhile', async () => {
    const gateway = await withRoot();
    const body = {
      name: 'reader',
      role: 'reads',
      content: 'read',
      provider: 'scripted',
      model: 'small',
      workspacePath: gateway.workspace,
    };
    const first = await gateway.post(spawnPath, body);
    const child = String(first.body['conversationId']);
    await gateway.workflow.end(child, 'completed', 'done');
    await gateway.patch(`/v1/conversations/${child}`, { provider: 'other', title: 'renamed' });
    await gateway.patch('/v1/conversations/c1', { model: 'another' });
    const { spawns } = gateway.workflow;
    const again = await gateway.post(spawnPath, body);
    expect([again.status, again.body]).toEqual([200, first.body]);
    // What was left out is not compared.
    const { provider: _, model: __, workspacePath: ___, ...less } = body;
    expect((await gateway.post(spawnPath, less)).body).toEqual(first.body);
    expect(gateway.workflow.spawns).toBe(spawns);
    expect((await team(gateway)).agents).toHaveLength(2);
  });

  it('A2: with another name, role, prompt, parent, provider, model or workspace it is 409, and nothing is stored', async () => {
    const gateway = await withRoot();
    const folder = join(gateway.workspace, 'inner');
    mkdirSync(folder);
    const body = { agentId: 'reader', name: 'Reader', role: 'reads', content: 'read' };
    const child = await gateway.agent('c1', body);
    const other = await gateway.agent('c1', { agentId: 'other' });
    await gateway.workflow.quiet();
    const before = await stored(gateway, child, other);
    for (const change of [
      { name: 'reader' },
      { role: '' },
      { content: 'write' },
      { content: undefined },
      { provider: 'other' },
      { model: 'large' },
      { workspacePath: folder },
      { workspacePath: gateway.outside },
    ]) {
      const answer = await gateway.post(spawnPath, { ...body, ...change });
      expect({ change, told: detail(answer) }).toEqual({
        change,
        told: [409, 'request_id_reused'],
      });
      expect(answer.body['detail']).toMatch(/choose another agentId/);
      expect(answer.body['agentId']).toBe('reader');
    }
    const byAnother = await gateway.post(`/v1/conversations/${other}/agents`, body);
    expect(detail(byAnother)).toEqual([409, 'request_id_reused']);
    expect(await stored(gateway, child, other)).toEqual(before);
  });

  it('an agentId that was made from a name which is taken: 409 that says to choose one', async () => {
    const gateway = await withRoot();
    await gateway.agent('c1', { name: 'Reader', content: 'one' });
    const answer = await gateway.post(spawnPath, { name: 'reader', content: 'two' });
    expect(detail(answer)).toEqual([409, 'request_id_reused']);
    expect(answer.body['detail']).toMatch(/made from the name.*choose an agentId/);
    const chosen = await gateway.post(spawnPath, {
      name: 'reader',
      content: 'two',
      agentId: 'reader-2',
    });
    expect(chosen.status).toBe(200);
  });

  it('A2: of two at once with one agentId there is one agent; asked for otherwise, one of them is refused', async () => {
    const gateway = await withRoot();
    const same = await Promise.all(
      Array.from({ length: 4 }, () => gateway.post(spawnPath, { name: 'a', content: 'x' })),
    );
    expect(same.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const differing = await Promise.all(
      ['one', 'two'].map((content) => gateway.post(spawnPath, { name: 'b', content })),
    );
    expect(differing.map(({ status }) => status).toSorted((x, y) => x - y)).toEqual([200, 409]);
    expect((await team(gateway)).agents.map(({ agentId }) => agentId)).toEqual(['root', 'a', 'b']);
  });

  it('an agent’s agent is of the same team, one deeper; the same names in another team are others', async () => {
    const gateway = await withRoot();
    await gateway.conversation('c2');
    const a = await gateway.agent('c1', { agentId: 'a' });
    const b = await gateway.agent(a, { agentId: 'b' });
    const elsewhere = await gateway.agent('c2', { agentId: 'a' });
    expect(elsewhere).not.toBe(a);
    const { agents, rootId } = await team(gateway);
    expect(rootId).toBe('c1');
    expect(agents.map(({ agentId, parentId, depth }) => [agentId, parentId, depth])).toEqual([
      ['root', null, 0],
      ['a', 'c1', 1],
      ['b', a, 2],
    ]);
    expect(await team(gateway, b)).toEqual(await team(gateway));
    expect((await team(gateway, 'c2')).agents.map(({ agentId }) => agentId)).toEqual(['root', 'a']);
  });

  it('there is no cycle: an agent makes neither itself nor one above it', async () => {
    const gateway = await withRoot();
    const a = await gateway.agent('c1', { agentId: 'a' });
    const b = await gateway.agent(a, { agentId: 'b' });
    const before = await stored(gateway, a, b);
    for (const [agentId, status] of [
      ['a', 409],
      ['b', 409],
      ['root', 400],
    ] as const)
      expect((await gateway.post(`/v1/conversations/${b}/agents`, { agentId })).status).toBe(
        status,
      );
    expect(await stored(gateway, a, b)).toEqual(before);
  });

  it('one that stands alone is a team of one; an unknown one is 404', async () => {
    const gateway = await withRoot();
    expect(await team(gateway)).toMatchObject({
      rootId: 'c1',
      lastSeq: 0,
      agents: [{ agentId: 'root', conversationId: 'c1', parentId: null, depth: 0 }],
    });
    for (const path of ['agents', 'agents/events', 'mailbox']) {
      const told = detail(await gateway.get(`/v1/conversations/none/${path}`));
      expect({ path, told }).toEqual({ path, told: [404, 'not_found'] });
    }
    expect(detail(await gateway.post('/v1/conversations/none/agents', {}))).toEqual([
      404,
      'not_found',
    ]);
  });

  it('provider, model and workspace: the model means nothing to another provider; the folder by its real path', async () => {
    const gateway = await withRoot();
    await gateway.patch('/v1/conversations/c1', { model: 'large' });
    const folder = join(gateway.workspace, 'inner');
    mkdirSync(folder);
    symlinkSync(folder, join(gateway.workspace, 'link'));
    const made = await gateway.agent('c1', {
      agentId: 'a',
      provider: 'other',
      workspacePath: join(gateway.workspace, 'link'),
    });
    expect((await gateway.get(`/v1/conversations/${made}`)).body).toMatchObject({
      provider: 'other',
      model: null,
      workspacePath: folder,
    });
    const again = await gateway.post(spawnPath, {
      agentId: 'a',
      workspacePath: join(gateway.workspace, 'link'),
    });
    expect(again.status).toBe(200);
  });
});

describe('X1, A3: what cannot be made is refused, and nothing is signalled or stored', () => {
  it.each<[string, object, number, string, RegExp]>([
    ['the root’s agentId', { agentId: 'root' }, 400, 'invalid_request', /choose another agentId/],
    ['it in other letters', { agentId: 'Root' }, 400, 'invalid_request', /choose another agentId/],
    ['it by its name', { name: 'ROOT' }, 400, 'invalid_request', /choose another agentId/],
    ['a blank name', { name: ' \n' }, 400, 'invalid_request', /must not be blank/],
    ['a name that is too long', { name: 'x'.repeat(201) }, 400, 'invalid_request', /\/name/],
    ['a role that is too long', { role: 'x'.repeat(201) }, 400, 'invalid_request', /\/role/],
    ['a bad agentId', { agentId: 'a/b' }, 400, 'invalid_request', /\/agentId/],
    ['a model with a line end', { model: 'a\nb' }, 400, 'invalid_request', /\/model/],
    ['a model that is too long', { model: 'x'.repeat(129) }, 400, 'invalid_request', /\/model/],
    ['a prompt of nothing', { content: '' }, 400, 'invalid_request', /\/content/],
    ['a blank prompt', { content: ' \n ' }, 400, 'invalid_request', /empty/],
    ['no text', { content: { a: 1 } }, 400, 'invalid_request', /\/content/],
    ['a field that is not known', { prompt: 'x' }, 400, 'invalid_request', /\/prompt/],
    [
      'a prompt that is too long',
      { content: 'x'.repeat(PROMPT_LIMIT_BYTES + 1) },
      413,
      'payload_too_large',
      /./,
    ],
    ['an unknown provider', { provider: 'none' }, 422, 'provider_not_found', /no such provider/],
    ['a provider that is not there', { provider: 'claude' }, 422, 'provider_not_found', /PATH/],
    ['a folder that is none', { workspacePath: '/none' }, 422, 'workspace_not_allowed', /./],
  ])('%s', async (_what, body, status, code, words) => {
    const gateway = await withRoot();
    const before = await stored(gateway);
    const answer = await gateway.post(spawnPath, body);
    expect(detail(answer)).toEqual([status, code]);
    expect(String(answer.body['detail'] ?? answer.body['title'])).toMatch(words);
    expect(await stored(gateway)).toEqual(before);
  });

  it('a folder outside of the roots, also by a link', async () => {
    const gateway = await withRoot();
    symlinkSync(gateway.outside, join(gateway.workspace, 'out'));
    for (const workspacePath of [
      gateway.outside,
      join(gateway.workspace, 'out'),
      `${gateway.workspace}/../outside`,
    ])
      expect(detail(await gateway.post(spawnPath, { workspacePath }))).toEqual([
        422,
        'workspace_not_allowed',
      ]);
    expect(gateway.workflow.spawns).toBe(0);
  });

  it('what is just within the limits of a body is taken', async () => {
    const gateway = await withRoot();
    const answer = await gateway.post(spawnPath, {
      agentId: 'a'.repeat(64),
      name: 'x'.repeat(TITLE_LIMIT_CHARS),
      role: 'x'.repeat(TITLE_LIMIT_CHARS),
      model: 'x'.repeat(128),
      content: 'x'.repeat(PROMPT_LIMIT_BYTES),
    });
    expect(answer.status).toBe(200);
  });

  it('a message of a megabyte is 413 by the body’s limit', async () => {
    const { gateway, a } = await withTwo();
    const before = await stored(gateway, a);
    const content = 'x'.repeat(1024 * 1024);
    for (const answer of [
      await gateway.post(spawnPath, { content }),
      await gateway.post(mailPath, { to: 'a', content }),
    ])
      expect(detail(answer)).toEqual([413, 'payload_too_large']);
    expect(await stored(gateway, a)).toEqual(before);
  });

  it('a megabyte within the body’s limit is 413 by the prompt’s', async () => {
    const { gateway, a } = await withTwo({ config: { bodyLimitBytes: 16 * 1024 * 1024 } });
    const before = await stored(gateway, a);
    const content = 'x'.repeat(1024 * 1024);
    for (const answer of [
      await gateway.post(spawnPath, { content }),
      await gateway.post(mailPath, { to: 'a', content }),
    ])
      expect(detail(answer)).toEqual([413, 'payload_too_large']);
    expect(await stored(gateway, a)).toEqual(before);
  });

  it('the conversationId that it would have is somebody else’s', async () => {
    const gateway = await withRoot();
    const taken = childConversationId('c1', 'a');
    await gateway.conversation(taken);
    const answer = await gateway.post(spawnPath, { agentId: 'a', content: 'x' });
    expect(detail(answer)).toEqual([409, 'request_id_reused']);
    expect(gateway.workflow.spawns).toBe(0);
    expect(types(await gateway.log(taken))).not.toContain('mail.accepted');
  });

  it('a full disk', async () => {
    let level = 'ample';
    const gateway = await withRoot({
      room: () => ({ level: level as 'ample', freeBytes: 1, reserveBytes: 2 }),
    });
    const a = await gateway.agent('c1', { agentId: 'a' });
    level = 'low';
    const before = await stored(gateway, a);
    for (const answer of [
      await gateway.post(spawnPath, { agentId: 'b' }),
      await gateway.post(mailPath, { to: 'a', content: 'x' }),
    ])
      expect(detail(answer)).toEqual([503, 'storage_full']);
    // What was done before is answered all the same.
    expect((await gateway.post(spawnPath, { agentId: 'a' })).status).toBe(200);
    expect(await stored(gateway, a)).toEqual(before);
  });
});

describe('limits', () => {
  /** Refused for that limit; the team is as it was. */
  async function refused(gateway: Gateway, parentId: string, limit: string): Promise<Answer> {
    const { agents, lastSeq } = await team(gateway);
    const { spawns } = gateway.workflow;
    const answer = await gateway.post(`/v1/conversations/${parentId}/agents`, { agentId: 'over' });
    expect(detail(answer)).toEqual([429, 'budget_exceeded']);
    expect(answer.body).toMatchObject({ limit, accepted: false });
    expect(answer.body['detail']).toMatch(/No agent was made/);
    expect(gateway.workflow.spawns).toBe(spawns);
    const after = await team(gateway);
    expect([after.agents.length, after.lastSeq]).toEqual([agents.length, lastSeq]);
    expect(await gateway.store.conversation(childConversationId('c1', 'over'))).toBeNull();
    return answer;
  }

  it(`depth: ${AGENT_DEPTH_LIMIT} is taken, one more is not`, async () => {
    const gateway = await withRoot();
    let parentId = 'c1';
    for (let depth = 1; depth <= AGENT_DEPTH_LIMIT; depth += 1)
      parentId = await gateway.agent(parentId, { agentId: `d${depth}` });
    await refused(gateway, parentId, 'depth');
  });

  it(`breadth: ${AGENT_BREADTH_LIMIT} children are taken, one more is not; of another parent they are`, async () => {
    const gateway = await withRoot();
    const [child = ''] = await fill(gateway, AGENT_BREADTH_LIMIT - 1, { parentId: 'c1', depth: 1 });
    await gateway.agent('c1', { agentId: 'last' });
    await refused(gateway, 'c1', 'breadth');
    expect((await gateway.post(spawnPath, { agentId: 'last' })).status).toBe(200);
    await gateway.agent(child, { agentId: 'below' });
  });

  it(`agents: ${AGENT_LIMIT} of a team are taken, one more is not`, async () => {
    const gateway = await withRoot();
    const parents = await fill(gateway, 5, { parentId: 'c1', depth: 1 });
    for (const parentId of parents.slice(0, 4)) await fill(gateway, 200, { parentId, depth: 2 });
    await fill(gateway, AGENT_LIMIT - 5 - 800 - 1, { parentId: parents[4] ?? '', depth: 2 });
    await gateway.agent(parents[0] ?? '', { agentId: 'last' });
    expect((await team(gateway)).agents).toHaveLength(AGENT_LIMIT + 1);
    await refused(gateway, parents[1] ?? '', 'agents');
  });

  it('cost: while less is spent than the budget they are made, then not; said with both sums', async () => {
    const gateway = await withRoot({ config: { agentBudgetUsd: 0.5 } });
    gateway.workflow.costUsd = 0.25;
    gateway.workflow.autoAnswer = 'done';
    // The root's own turns count too.
    await gateway.send('c1', 'r1', 'hello');
    const a = await gateway.agent('c1', { agentId: 'a' });
    await gateway.post(mailPath, { to: 'a', content: 'work' });
    await eventually(async () => (await team(gateway)).agents[1]?.usage.costUsd === 0.25);
    const answer = await refused(gateway, a, 'cost');
    expect(answer.body).toMatchObject({ max: 0.5, spentUsd: 0.5 });
    expect(answer.body['detail']).toMatch(/\$0\.50.*HOLDFAST_AGENT_BUDGET_USD/);
    // What there is goes on.
    expect((await gateway.post(mailPath, { to: 'a', content: 'more' })).status).toBe(200);
  });

  it('a race over a limit is answered with its code too, and nothing is made', async () => {
    const gateway = await withRoot();
    await fill(gateway, AGENT_BREADTH_LIMIT - 1, { parentId: 'c1', depth: 1 });
    gateway.workflow.beforeSpawn = async () => {
      await makeAgent(gateway, { agentId: 'quicker', parentId: 'c1', depth: 1 });
    };
    const answer = await gateway.post(spawnPath, { agentId: 'over', content: 'x' });
    expect(detail(answer)).toEqual([429, 'budget_exceeded']);
    expect(answer.body).toMatchObject({ limit: 'breadth', max: AGENT_BREADTH_LIMIT });
    expect(gateway.workflow.spawns).toBe(1);
    expect(await gateway.store.conversation(childConversationId('c1', 'over'))).toBeNull();
    expect(await gateway.lastSeq(childConversationId('c1', 'over'))).toBe(0);
  });

  it('A2: refused, and made by another request all the same: it is there, and that is the answer', async () => {
    let made = false;
    const gateway = await withRoot({
      commands: (store) => {
        const workflow = new WorkflowDouble(store);
        return {
          create: (command) => workflow.create(command),
          signal: (command) => workflow.signal(command),
          createTable: (command) => workflow.createTable(command),
          signalTable: (command) => workflow.signalTable(command),
          signalTrigger: (command) => workflow.signalTrigger(command),
          check: () => workflow.check(),
          inspect: (command) => workflow.inspect(command),
          spawn: async () => ({
            refused: async () => {
              await makeAgent(gateway, { agentId: 'a', parentId: 'c1', depth: 1 });
              made = true;
              return new HoldfastError('budget_exceeded', 'no', { limit: 'breadth' });
            },
          }),
        };
      },
    });
    expect((await gateway.post(spawnPath, { agentId: 'a' })).status).toBe(200);
    expect(made).toBe(true);
  });

  it('A2: an agent that somebody else makes meanwhile, asked for otherwise: 409', async () => {
    const gateway = await withRoot();
    gateway.workflow.beforeSpawn = async () => {
      await makeAgent(gateway, { agentId: 'a', parentId: 'c1', depth: 1 });
    };
    const answer = await gateway.post(spawnPath, { agentId: 'a', content: 'x' });
    expect(detail(answer)).toEqual([409, 'request_id_reused']);
    expect((await team(gateway)).agents).toHaveLength(2);
  });
});

describe('A3: what Temporal says, or does not', () => {
  it('durable and not recorded in time: 503 with the agentId to repeat it with; 202 with the messageId', async () => {
    const { gateway, a } = await withTwo({ config: { receiptWaitMs: 300 } });
    gateway.workflow.weather = 'no-worker';
    const made = await gateway.post(spawnPath, { content: 'x' });
    expect(detail(made)).toEqual([503, 'temporal_unavailable']);
    const { agentId } = made.body;
    expect(made.body).toMatchObject({
      accepted: true,
      agentId: expect.stringMatching(/^agent-/) as unknown,
      conversationId: childConversationId('c1', String(agentId)),
    });
    expect(made.body['detail']).toMatch(/Repeat this request with the same agentId/);
    const sent = await gateway.post(mailPath, { to: 'a', content: 'x' });
    const messageId = sent.body['messageId'];
    expect([sent.status, sent.body]).toEqual([202, { messageId, accepted: true }]);
    expect(await mailbox(gateway, a)).toEqual([]);
    gateway.workflow.weather = 'fine';
    const again = await gateway.post(spawnPath, { content: 'x', agentId });
    expect([again.status, again.body['agentId']]).toEqual([200, agentId]);
    const repeated = await gateway.post(mailPath, { to: 'a', content: 'x', messageId });
    expect(repeated.status).toBe(200);
  });

  it.each([
    ['unreachable', false],
    ['fate-unknown', 'unknown'],
  ] as const)('%s: 503, accepted: %j', async (weather, accepted) => {
    const { gateway, a } = await withTwo();
    const before = await stored(gateway, a);
    gateway.workflow.weather = weather;
    for (const answer of [
      await gateway.post(spawnPath, { agentId: 'c' }),
      await gateway.post(mailPath, { to: 'a', content: 'x' }),
    ]) {
      expect(detail(answer)).toEqual([503, 'temporal_unavailable']);
      expect(answer.body['accepted']).toBe(accepted);
    }
    expect(await team(gateway)).toEqual((before as { team: unknown }).team);
  });

  it('a lost answer is made good by the log', async () => {
    const { gateway, a } = await withTwo();
    gateway.workflow.weather = 'answer-lost';
    expect((await gateway.post(spawnPath, { agentId: 'c', content: 'x' })).status).toBe(200);
    const sent = await gateway.post(mailPath, { to: 'a', content: 'x', messageId: 'm1' });
    expect([sent.status, sent.body['messageId']]).toEqual([200, 'm1']);
    await expireOne(gateway, a);
    const again = await gateway.post(`/v1/conversations/${a}/mailbox/late/resend`, {});
    expect(again.status).toBe(200);
  });

  it('what is recorded while the caller waits is answered at once: it is woken by the log', async () => {
    const { gateway, a } = await withTwo({ config: { receiptWaitMs: 60_000 } });
    await expireOne(gateway, a);
    const waitsFor = async (path: string, body: object): Promise<Answer> => {
      const opened = Promise.withResolvers<void>();
      gateway.workflow.gate = opened.promise;
      const { signals, spawns } = gateway.workflow;
      const before = signals.length + spawns;
      const asked = gateway.post(path, body);
      await eventually(() => signals.length + gateway.workflow.spawns > before);
      // It has looked, and found nothing.
      await gateway.get(mailPath);
      opened.resolve();
      return asked;
    };
    for (const [path, body] of [
      [spawnPath, { agentId: 'c', content: 'x' }],
      [mailPath, { to: 'b', content: 'x' }],
      [`/v1/conversations/${a}/mailbox/late/resend`, {}],
    ] as const)
      expect((await waitsFor(path, body)).status).toBe(200);
  });

  it('C2: a caller that goes away changes nothing', async () => {
    const gateway = await withRoot();
    const opened = Promise.withResolvers<void>();
    gateway.workflow.gate = opened.promise;
    const leaving = new AbortController();
    const body = { agentId: 'a', content: 'x' };
    const asked = gateway.open('POST', spawnPath, { body, signal: leaving.signal });
    asked.catch(() => undefined);
    await eventually(() => gateway.workflow.spawns === 1);
    leaving.abort();
    opened.resolve();
    await eventually(async () => (await team(gateway)).agents.length === 2);
    expect((await gateway.post(spawnPath, body)).status).toBe(200);
    expect(gateway.workflow.spawns).toBe(1);
  });
});

/** A row of that conversation's mailbox that has expired: `late`, from the root. */
async function expireOne(gateway: Gateway, conversationId: string): Promise<void> {
  await gateway.store.append({
    stream: conversationStream(conversationId),
    key: appendKey.mail('c1', 'late'),
    events: [
      {
        type: 'mail.accepted',
        payload: {
          messageId: 'late',
          from: 'c1',
          kind: 'message',
          content: 'too late',
          expiresAt: new Date(0).toISOString(),
        },
      },
    ],
  });
  await gateway.workflow
    .signal({ conversationId, signal: { name: 'mail', argument: {} } })
    .catch(() => undefined);
  await eventually(
    async () =>
      (await gateway.store.mailRow({ conversationId, from: 'c1', messageId: 'late' }))?.state ===
      'expired',
  );
}

describe('mail', () => {
  it('M1: to one that is idle it starts a turn, to one that is busy it waits; the row says which', async () => {
    const { gateway, a } = await withTwo();
    const first = await gateway.post(mailPath, { to: 'a', content: 'hello a', messageId: 'm1' });
    expect(first.status).toBe(200);
    expect(first.body).toMatchObject({
      messageId: 'm1',
      from: 'root',
      to: 'a',
      fromConversationId: 'c1',
      toConversationId: a,
      kind: 'message',
      content: 'hello a',
      expiresAt: expect.any(String) as unknown,
    });
    const second = await gateway.post(mailPath, { to: 'a', content: 'and more' });
    expect(second.status).toBe(200);
    await gateway.workflow.quiet();
    const rows = await mailbox(gateway, a);
    expect(rows.map(({ content, state }) => [content, state])).toEqual([
      ['hello a', 'applied'],
      ['and more', 'delivered'],
    ]);
    const view = await gateway.get(`/v1/conversations/${a}`);
    expect(JSON.stringify(view.body['messages'])).toContain('hello a');
    expect(JSON.stringify(view.body['messages'])).not.toContain('and more');
    await gateway.workflow.end(a, 'completed', 'done');
    await gateway.workflow.quiet();
    expect((await mailbox(gateway, a)).map(({ state }) => state)).toEqual(['applied', 'applied']);
  });

  it('between any two of a team: by agentId, as root, and by conversationId', async () => {
    const { gateway, a, b } = await withTwo();
    const below = await gateway.agent(a, { agentId: 'below' });
    for (const [from, to, receiver] of [
      ['c1', 'below', below],
      [below, 'root', 'c1'],
      [a, 'c1', 'c1'],
      [below, 'b', b],
      [b, below, below],
    ] as const) {
      const content = `${from} to ${to}`;
      const { status, body } = await gateway.post(`/v1/conversations/${from}/mailbox`, {
        to,
        content,
      });
      expect([status, body['toConversationId'], content]).toEqual([200, receiver, content]);
      expect((await mailbox(gateway, receiver)).map((row) => row.content)).toContain(content);
    }
  });

  it('an agentId that is some other member’s conversationId is that agent’s', async () => {
    const { gateway, a, b } = await withTwo();
    const named = await gateway.agent('c1', { agentId: a });
    const path = `/v1/conversations/${b}/mailbox`;
    const { body } = await gateway.post(path, { to: a, content: 'x' });
    expect(body['toConversationId']).toBe(named);
    expect(await mailbox(gateway, a)).toEqual([]);
  });

  it('A2, M1: the same messageId is the same message; with other content 409; to another receiver another one', async () => {
    const { gateway, a, b } = await withTwo();
    const body = { to: 'a', content: 'hello', messageId: 'm1' };
    const first = await gateway.post(mailPath, body);
    await gateway.workflow.quiet();
    const { length } = gateway.workflow.signals;
    const again = await gateway.post(mailPath, { ...body, to: a, whenBusy: 'steer' });
    expect([again.status, again.body['requestId']]).toEqual([200, first.body['requestId']]);
    const reused = await gateway.post(mailPath, { ...body, content: 'other' });
    expect(detail(reused)).toEqual([409, 'request_id_reused']);
    expect(reused.body['messageId']).toBe('m1');
    expect(gateway.workflow.signals).toHaveLength(length);
    expect((await gateway.post(mailPath, { ...body, to: 'b', content: 'other' })).status).toBe(200);
    // Another sender may use it as well.
    const other = await gateway.post(`/v1/conversations/${b}/mailbox`, body);
    expect(other.status).toBe(200);
    expect((await mailbox(gateway, a)).map(({ from, messageId }) => [from, messageId])).toEqual([
      ['root', 'm1'],
      ['b', 'm1'],
    ]);
  });

  it('M1: of many at once with one messageId there is one row, and one prompt', async () => {
    const { gateway, a } = await withTwo();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        gateway.post(mailPath, { to: 'a', content: 'once', messageId: 'm1' }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    await gateway.workflow.quiet();
    expect(types(await gateway.log(a)).filter((type) => type === 'mail.accepted')).toHaveLength(1);
    expect(types(await gateway.log(a)).filter((type) => type === 'message.created')).toHaveLength(
      1,
    );
  });

  it('A2: of two at once with one messageId and other content, one is refused', async () => {
    const { gateway } = await withTwo();
    const answers = await Promise.all(
      ['one', 'two'].map((content) =>
        gateway.post(mailPath, { to: 'a', content, messageId: 'm1' }),
      ),
    );
    expect(answers.map(({ status }) => status).toSorted((x, y) => x - y)).toEqual([200, 409]);
  });

  it('steer and a time to live are passed on', async () => {
    const { gateway } = await withTwo();
    const before = Date.now();
    const { body } = await gateway.post(mailPath, {
      to: 'a',
      content: 'x',
      whenBusy: 'steer',
      expiresInMs: 60_000,
    });
    const expiresInMs = Date.parse(String(body['expiresAt'])) - before;
    expect(expiresInMs).toBeGreaterThanOrEqual(60_000);
    expect(expiresInMs).toBeLessThan(90_000);
    expect(gateway.workflow.signals.at(-1)).toMatchObject({
      signal: { name: 'mail', argument: { message: { whenBusy: 'steer', from: 'c1' } } },
    });
  });

  it('an archived conversation is written to as any other', async () => {
    const { gateway, a } = await withTwo();
    await gateway.patch(`/v1/conversations/${a}`, { archived: true });
    expect((await gateway.post(mailPath, { to: 'a', content: 'x' })).status).toBe(200);
    await gateway.workflow.quiet();
    expect((await mailbox(gateway, a)).map(({ state }) => state)).toEqual(['applied']);
  });

  describe('X1: what cannot be sent is refused, and nothing is signalled or stored', () => {
    it.each<[string, object, number, string, RegExp]>([
      ['to itself', { to: 'root' }, 400, 'invalid_request', /itself/],
      ['to itself by conversationId', { to: 'c1' }, 400, 'invalid_request', /itself/],
      ['to nobody', { to: 'nobody' }, 404, 'not_found', /no agent "nobody" in this team/],
      ['to an agent of another team', { to: 'stranger' }, 404, 'not_found', /in this team/],
      ['to another root', { to: 'c2' }, 404, 'not_found', /in this team/],
      ['to one that stands alone', { to: 'c3' }, 404, 'not_found', /in this team/],
      ['a bad address', { to: 'a b' }, 400, 'invalid_request', /\/to/],
      ['no address', { to: undefined }, 400, 'invalid_request', /\/to is required/],
      ['nothing', { content: '' }, 400, 'invalid_request', /\/content/],
      ['no content', { content: undefined }, 400, 'invalid_request', /\/content is required/],
      ['a blank', { content: '\n' }, 400, 'invalid_request', /empty/],
      [
        'too much',
        { content: 'x'.repeat(PROMPT_LIMIT_BYTES + 1) },
        413,
        'payload_too_large',
        /over its limit/,
      ],
      ['a bad messageId', { messageId: '-' }, 400, 'invalid_request', /\/messageId/],
      ['the task’s messageId', { messageId: 'task' }, 400, 'invalid_request', /take another/],
      ['an end’s messageId', { messageId: 'end-t1-1' }, 400, 'invalid_request', /take another/],
      ['a recovery’s', { messageId: 'recovery-b1' }, 400, 'invalid_request', /take another/],
      ['an interrupt', { whenBusy: 'interrupt' }, 400, 'invalid_request', /\/whenBusy/],
      ['too short a life', { expiresInMs: 999 }, 400, 'invalid_request', /\/expiresInMs/],
      [
        'too long a life',
        { expiresInMs: MAIL_EXPIRY_LIMIT_MS + 1 },
        400,
        'invalid_request',
        /\/expiresInMs/,
      ],
      ['a field that is not known', { from: 'a' }, 400, 'invalid_request', /\/from/],
    ])('%s', async (_what, change, status, code, words) => {
      const { gateway, a, b } = await withTwo();
      await gateway.conversation('c2');
      await gateway.conversation('c3');
      const stranger = await gateway.agent('c2', { agentId: 'stranger' });
      const everybody = [a, b, 'c2', 'c3', stranger];
      const before = await stored(gateway, ...everybody);
      const answer = await gateway.post(mailPath, { to: 'a', content: 'x', ...change });
      expect(detail(answer)).toEqual([status, code]);
      expect(String(answer.body['detail'] ?? answer.body['title'])).toMatch(words);
      await gateway.workflow.quiet();
      expect(await stored(gateway, ...everybody)).toEqual(before);
    });

    it('by the conversationId of another team’s agent it is the answer of one that does not exist', async () => {
      const { gateway } = await withTwo();
      await gateway.conversation('c2');
      const stranger = await gateway.agent('c2', { agentId: 'stranger' });
      const { length } = gateway.workflow.signals;
      const words = async (to: string): Promise<string> => {
        const { status, body } = await gateway.post(mailPath, { to, content: 'x' });
        expect(status).toBe(404);
        return JSON.stringify(body).replaceAll(to, '…');
      };
      expect(await words(stranger)).toBe(await words('agent-00000000000000000000000000000000'));
      expect(gateway.workflow.signals).toHaveLength(length);
      expect(await mailbox(gateway, stranger)).toEqual([]);
    });

    it('from nobody', async () => {
      const { gateway, a } = await withTwo();
      const body = { to: 'a', content: 'x' };
      expect(detail(await gateway.post('/v1/conversations/none/mailbox', body))).toEqual([
        404,
        'not_found',
      ]);
      expect(await mailbox(gateway, a)).toEqual([]);
    });

    it('just within the limits it is taken', async () => {
      const { gateway } = await withTwo();
      for (const change of [
        { expiresInMs: 1_000 },
        { expiresInMs: MAIL_EXPIRY_LIMIT_MS },
        { content: 'x'.repeat(PROMPT_LIMIT_BYTES) },
        { messageId: 'x'.repeat(64) },
        { messageId: 'tasks' },
        { messageId: 'end-of-day' },
      ]) {
        const answer = await gateway.post(mailPath, { to: 'a', content: 'x', ...change });
        expect([answer.status, answer.body['code']]).toEqual([200, undefined]);
      }
    });
  });
});

describe('the mailbox', () => {
  it('in, out, both; by state; oldest first; in pages', async () => {
    const { gateway, a } = await withTwo();
    await gateway.post(mailPath, { to: 'a', content: '1', messageId: 'm1' });
    await gateway.post(mailPath, { to: 'a', content: '2', messageId: 'm2' });
    await gateway.post(`/v1/conversations/${a}/mailbox`, {
      to: 'root',
      content: '3',
      messageId: 'm3',
    });
    await gateway.post(mailPath, { to: 'a', content: '4', messageId: 'm4' });
    await gateway.workflow.quiet();
    const ids = async (query: string): Promise<string[]> =>
      (await mailbox(gateway, a, query)).map(({ messageId }) => messageId);
    expect(await ids('')).toEqual(['m1', 'm2', 'm4']);
    expect(await ids('?box=in')).toEqual(['m1', 'm2', 'm4']);
    expect(await ids('?box=out')).toEqual(['m3']);
    expect(await ids('?box=any')).toEqual(['m1', 'm2', 'm3', 'm4']);
    expect(await ids('?state=applied')).toEqual(['m1']);
    expect(await ids('?state=delivered')).toEqual(['m2', 'm4']);
    expect(await ids('?state=failed')).toEqual([]);
    const path = `/v1/conversations/${a}/mailbox?box=any&limit=3`;
    const first = await gateway.get(path);
    const rows = first.body['items'] as MailRowValue[];
    expect(rows.map(({ messageId }) => messageId)).toEqual(['m1', 'm2', 'm3']);
    const next = await gateway.get(`${path}&cursor=${String(first.body['nextCursor'])}`);
    expect((next.body['items'] as MailRowValue[]).map(({ messageId }) => messageId)).toEqual([
      'm4',
    ]);
    expect(next.body['nextCursor']).toBeNull();
  });

  it.each(['?box=none', '?state=none', '?limit=0', '?limit=201', '?cursor=x', '?other=1'])(
    '%s is 400',
    async (query) => {
      const gateway = await withRoot();
      expect(detail(await gateway.get(`${mailPath}${query}`))).toEqual([400, 'invalid_request']);
    },
  );

  it('W2: a page of long messages ends sooner than its limit; by its cursor it goes on', async () => {
    const { gateway, a } = await withTwo();
    const content = 'x'.repeat(500 * 1024);
    for (let n = 0; n < 24; n += 1)
      await gateway.store.append({
        stream: conversationStream(a),
        key: appendKey.mail('c1', `m${n}`),
        events: [
          {
            type: 'mail.accepted',
            payload: { messageId: `m${n}`, from: 'c1', kind: 'message', content },
          },
        ],
      });
    const found: string[] = [];
    const sizes: number[] = [];
    for (let cursor: string | null = null; ;) {
      const query = cursor === null ? '' : `?cursor=${cursor}`;
      const { body } = await gateway.get(`/v1/conversations/${a}/mailbox${query}`);
      const items = body['items'] as MailRowValue[];
      found.push(...items.map(({ messageId }) => messageId));
      sizes.push(items.length);
      cursor = body['nextCursor'] as string | null;
      if (cursor === null) break;
    }
    expect(found).toEqual(Array.from({ length: 24 }, (_, n) => `m${n}`));
    expect(sizes).toEqual([10, 10, 4]);
  });
});

describe('sending again', () => {
  const path = (conversationId: string, messageId: string): string =>
    `/v1/conversations/${conversationId}/mailbox/${messageId}/resend`;

  /** A message of the root that was removed from a's queue. */
  async function withRemoved(): Promise<{ gateway: Gateway; a: string; b: string }> {
    const all = await withTwo();
    const { gateway, a } = all;
    await gateway.post(mailPath, { to: 'a', content: 'runs', messageId: 'm1' });
    await gateway.post(mailPath, { to: 'a', content: 'waits', messageId: 'm2' });
    await gateway.workflow.quiet();
    const [, waiting] = await mailbox(gateway, a);
    await gateway.delete(`/v1/conversations/${a}/queue/${waiting?.requestId}`);
    expect((await mailbox(gateway, a))[1]).toMatchObject({ state: 'failed', reason: 'removed' });
    return all;
  }

  it('M1: a failed row is accepted again, under its next requestId, and applied once', async () => {
    const { gateway, a } = await withRemoved();
    const [, before] = await mailbox(gateway, a);
    const { status, body } = await gateway.post(path(a, 'm2'), {});
    expect(status).toBe(200);
    expect(body).toMatchObject({ messageId: 'm2', content: 'waits', from: 'root' });
    expect(body['requestId']).not.toBe(before?.requestId);
    await gateway.workflow.quiet();
    await gateway.workflow.end(a, 'completed', 'done');
    await gateway.workflow.quiet();
    expect((await mailbox(gateway, a)).map(({ state }) => state)).toEqual(['applied', 'applied']);
    const prompts = (await gateway.log(a)).filter(({ type }) => type === 'message.created');
    expect(prompts).toHaveLength(2);
    const again = await gateway.post(path(a, 'm2'), {});
    expect(detail(again)).toEqual([409, 'already_resolved']);
    expect(again.body).toMatchObject({ messageId: 'm2', state: 'applied' });
  });

  it('an expired row too; of two at once both are answered, and it is sent once', async () => {
    const { gateway, a } = await withTwo();
    await expireOne(gateway, a);
    const answers = await Promise.all([1, 2].map(() => gateway.post(path(a, 'late'), {})));
    expect(answers.map(({ status }) => status).every((status) => [200, 409].includes(status))).toBe(
      true,
    );
    await gateway.workflow.quiet();
    expect(types(await gateway.log(a)).filter((type) => type === 'mail.again')).toHaveLength(1);
  });

  it('one that has failed again by the time that it is looked at was sent again all the same', async () => {
    let fails = false;
    const { gateway, a } = await withTwo({
      wrapStore: (store) => ({
        ...store,
        mailRow: async (name) => {
          const row = await store.mailRow(name);
          return row === null || !fails ? row : { ...row, state: 'failed' };
        },
      }),
    });
    await expireOne(gateway, a);
    fails = true;
    const answer = await gateway.post(path(a, 'late'), {});
    expect([answer.status, answer.body['state']]).toEqual([200, 'failed']);
  });

  it('what waits or was applied is 409, what is not there 404, and nothing is signalled', async () => {
    const { gateway, a, b } = await withRemoved();
    await gateway.conversation('c2');
    const { length } = gateway.workflow.signals;
    const before = await stored(gateway, a, b);
    for (const [address, body, status, code] of [
      [path(a, 'm1'), {}, 409, 'already_resolved'],
      [path(a, 'none'), {}, 404, 'not_found'],
      [path(b, 'm2'), {}, 404, 'not_found'],
      [path('c2', 'm2'), {}, 404, 'not_found'],
      [path('none', 'm2'), {}, 404, 'not_found'],
      [path(a, 'm2'), { from: 'b' }, 404, 'not_found'],
      [path(a, 'm2'), { from: 'nobody' }, 404, 'not_found'],
      [path(a, 'm2'), { from: 'a b' }, 400, 'invalid_request'],
      [path(a, 'm2'), { other: 1 }, 400, 'invalid_request'],
      [path(a, '-'), {}, 400, 'invalid_request'],
    ] as const) {
      const told = detail(await gateway.post(address, body));
      expect({ address, told }).toEqual({ address, told: [status, code] });
    }
    expect(gateway.workflow.signals).toHaveLength(length);
    expect(await stored(gateway, a, b)).toEqual(before);
  });

  it('where two senders have used that messageId, it is to be said which', async () => {
    const { gateway, a, b } = await withRemoved();
    await gateway.post(`/v1/conversations/${b}/mailbox`, {
      to: 'a',
      content: 'from b',
      messageId: 'm2',
    });
    const which = await gateway.post(path(a, 'm2'), {});
    expect(detail(which)).toEqual([400, 'invalid_request']);
    expect(which.body['detail']).toMatch(/"from", one of root, b/);
    const again = await gateway.post(path(a, 'm2'), { from: 'root' });
    expect([again.status, again.body['content']]).toEqual([200, 'waits']);
    expect(detail(await gateway.post(path(a, 'm2'), { from: 'b' }))).toEqual([
      409,
      'already_resolved',
    ]);
  });

  it('A3: durable and not recorded in time: 202; the disk full: 503', async () => {
    let level = 'ample';
    const { gateway, a } = await withTwo({
      config: { receiptWaitMs: 300 },
      room: () => ({ level: level as 'ample', freeBytes: 1, reserveBytes: 2 }),
    });
    await expireOne(gateway, a);
    gateway.workflow.weather = 'no-worker';
    const answer = await gateway.post(path(a, 'late'), {});
    expect([answer.status, answer.body]).toEqual([202, { messageId: 'late', accepted: true }]);
    level = 'low';
    expect(detail(await gateway.post(path(a, 'late'), {}))).toEqual([503, 'storage_full']);
  });
});

describe('cancel with cascade', () => {
  /** c1 → a → below, each with a running turn and something that waits. */
  async function withRunning(): Promise<{ gateway: Gateway; all: string[] }> {
    const gateway = await withRoot();
    await gateway.send('c1', 'r1', 'hello');
    const a = await gateway.agent('c1', { agentId: 'a', content: 'work' });
    const below = await gateway.agent(a, { agentId: 'below', content: 'work' });
    await gateway.workflow.quiet();
    for (const id of ['c1', a, below]) await gateway.send(id, `${id}-waits`.slice(-60), 'waits');
    return { gateway, all: ['c1', a, below] };
  }

  it('cancels and holds here and in every agent below', async () => {
    const { gateway, all } = await withRunning();
    const { body } = await gateway.post('/v1/conversations/c1/cancel?wait=end', { cascade: true });
    expect(body).toMatchObject({ outcome: 'cancelled' });
    await gateway.workflow.quiet();
    for (const id of all) {
      const { body: view } = await gateway.get(`/v1/conversations/${id}`);
      expect(view).toMatchObject({
        conversationId: id,
        state: 'idle',
        held: true,
        activeTurn: null,
      });
    }
    // What the children say of their ends starts nothing (docs/agents.md).
    const rows = await mailbox(gateway);
    expect(rows.map(({ kind, outcome, state }) => [kind, outcome, state])).toEqual([
      ['error', 'cancelled', 'accepted'],
    ]);
  });

  it('of a middle one leaves what is above; without it leaves what is below', async () => {
    const { gateway, all } = await withRunning();
    const [, a = '', below = ''] = all;
    const running = async (): Promise<boolean[]> =>
      Promise.all(
        all.map(
          async (id) => (await gateway.get(`/v1/conversations/${id}`)).body['activeTurn'] !== null,
        ),
      );
    await gateway.post('/v1/conversations/c1/cancel', { holdQueue: true });
    await gateway.workflow.quiet();
    expect(await running()).toEqual([false, true, true]);
    await gateway.post(`/v1/conversations/${a}/cancel`, { cascade: true });
    await gateway.workflow.quiet();
    expect((await running()).slice(1)).toEqual([false, false]);
    expect((await gateway.get(`/v1/conversations/${below}`)).body['held']).toBe(true);
  });

  it('also where nothing runs here; holdQueue: false leaves this queue', async () => {
    const gateway = await withRoot();
    const a = await gateway.agent('c1', { agentId: 'a', content: 'work' });
    await gateway.workflow.quiet();
    const answer = await gateway.post('/v1/conversations/c1/cancel', { cascade: true });
    expect([answer.status, answer.body]).toEqual([200, { turnId: null }]);
    await gateway.workflow.quiet();
    expect((await gateway.get(`/v1/conversations/${a}`)).body['activeTurn']).toBeNull();
    await gateway.post('/v1/conversations/c1/cancel', { cascade: true, holdQueue: false });
    const [first, second] = gateway.workflow.signals
      .filter(({ signal }) => signal.name === 'cancel')
      .map(({ signal }) => signal.argument);
    expect(first).toEqual({ by: 'user', cascade: true, holdQueue: true });
    expect(second).toEqual({ by: 'user', cascade: true });
  });

  it('a turnId that does not run is 409, and nobody is told', async () => {
    const { gateway } = await withRunning();
    const { length } = gateway.workflow.signals;
    const answer = await gateway.post('/v1/conversations/c1/cancel', {
      cascade: true,
      turnId: 'x',
    });
    expect(detail(answer)).toEqual([409, 'turn_mismatch']);
    expect(gateway.workflow.signals).toHaveLength(length);
  });
});

describe('the team’s log', () => {
  it('L1, L3: what the tree shows is the fold of it; every event has the rootId', async () => {
    const { gateway, a } = await withTwo();
    await gateway.post(mailPath, { to: 'a', content: 'x' });
    await gateway.workflow.end(a, 'completed', 'done');
    await gateway.workflow.quiet();
    const { body } = await gateway.get(`/v1/conversations/${a}/agents/events`);
    const items = body['items'] as Frame[];
    expect(items).toEqual(await gateway.teamLog());
    expect(items.map(({ seq }) => seq)).toEqual(items.map((_, index) => index + 1));
    expect(items.every(({ rootId, type }) => rootId === 'c1' && type === 'agent.changed')).toBe(
      true,
    );
    const folded = new Map<string, AgentViewValue>();
    for (const { payload } of items) {
      const agent = payload['agent'] as AgentViewValue;
      folded.set(agent.conversationId, agent);
    }
    const view = await team(gateway);
    expect([...folded.values()].toSorted(byId)).toEqual(view.agents.toSorted(byId));
    expect(body['lastSeq']).toBe(view.lastSeq);
  });

  it('as Server-Sent Events it goes on as the tree changes; a cursor beyond the end is 410', async () => {
    const { gateway, a } = await withTwo();
    const { lastSeq } = await team(gateway);
    const leaving = new AbortController();
    const stream = await gateway.open('GET', `${spawnPath}/events?after=${lastSeq - 1}`, {
      headers: { accept: 'text/event-stream' },
      signal: leaving.signal,
    });
    stream.on('error', () => undefined);
    let said = '';
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await gateway.post(`/v1/conversations/${a}/mailbox`, { to: 'b', content: 'x' });
    await gateway.workflow.quiet();
    const last = await gateway.store.lastSeq(teamStream('c1'));
    expect(last).toBeGreaterThan(lastSeq);
    await eventually(() => said.includes(`id: ${last}\n`));
    expect([...said.matchAll(/^id: (\d+)$/gm)].map(([, seq]) => Number(seq))).toEqual(
      Array.from({ length: last - lastSeq + 1 }, (_, index) => lastSeq + index),
    );
    leaving.abort();
    const beyond = await gateway.get(`${spawnPath}/events?after=${last + 1}`, {
      headers: { accept: 'text/event-stream' },
    });
    expect(detail(beyond)).toEqual([410, 'cursor_expired']);
    expect(detail(await gateway.get(`${spawnPath}/events?after=-1`))).toEqual([
      400,
      'invalid_request',
    ]);
  });
});

function byId(one: AgentViewValue, other: AgentViewValue): number {
  return one.agentId.localeCompare(other.agentId);
}

it('W2 a mailbox that nobody empties takes no more: 429, and nothing is signalled', async () => {
  const { gateway, a } = await withTwo();
  const rows = Array.from({ length: MAILBOX_LIMIT }, (_, n) => ({
    type: 'mail.accepted' as const,
    payload: { messageId: `m${n}`, from: 'c1', kind: 'message' as const, content: 'x' },
  }));
  await gateway.store.append({ stream: conversationStream(a), events: rows });
  const refused = await gateway.post(mailPath, { to: 'a', messageId: 'over', content: 'x' });
  expect(refused).toMatchObject({ status: 429, body: { code: 'queue_full' } });
  expect(
    await gateway.store.mailRow({ conversationId: a, from: 'c1', messageId: 'over' }),
  ).toBeNull();
  // One that is there already is answered as before.
  const known = await gateway.post(mailPath, { to: 'a', messageId: 'm0', content: 'x' });
  expect(known).toMatchObject({ status: 200, body: { messageId: 'm0', state: 'accepted' } });
});
