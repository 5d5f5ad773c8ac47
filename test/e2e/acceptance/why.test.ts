/** `why` of a real engine: each state is made as it comes about, and the command that is given for it is typed, and helps. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { expect, test } from 'vitest';

import type { WhyStateName, WhyValue } from '../../../src/contracts/http.ts';
import { signalProcess } from '../../../src/providers/process/process-table.ts';
import type { Role } from '../../../src/supervisor/state.ts';
import { eventually } from '../../support/eventually.ts';
import { temporalBinary } from '../../support/temporal.ts';
import { newConversation, script, send } from './conversations.ts';
import { RECOVERED_WITHIN_MS, viewOnce } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const run = promisify(execFile);
const holdfast = sharedHoldfast({ HOLDFAST_QUIET_AFTER_MS: '700' });

async function why(conversationId: string): Promise<WhyValue> {
  return holdfast.ask({ path: `/v1/conversations/${conversationId}/why` });
}

/** The answer, once it is of that state. */
async function whyOnce(conversationId: string, state: WhyStateName): Promise<WhyValue> {
  return eventually(async () => {
    const answer = await why(conversationId);
    return answer.state === state && answer;
  }, RECOVERED_WITHIN_MS);
}

/** Types the command of an answer into a shell; what it printed. */
async function type({ fix }: WhyValue): Promise<string> {
  expect(fix).not.toBeNull();
  const command = fix?.command ?? '';
  const [program = '', ...args] = command.split(' ');
  const { code, stdout } =
    program === 'holdfast'
      ? await holdfast.run(args)
      : { code: 0, ...(await run('/bin/sh', ['-c', command])) };
  expect(code).toBe(0);
  return stdout;
}

async function begin(conversationId: string, ...steps: string[]): Promise<string> {
  const requestId = `r${Math.random().toString(36).slice(2)}`;
  const { status } = await holdfast.call({
    path: `/v1/conversations/${conversationId}/messages`,
    body: { requestId, content: script(...steps) },
  });
  expect(status).toBe(200);
  return requestId;
}

/** Stops the process of a role where it is, for as long as `meanwhile` takes. Whoever replaced it in the meantime stays. */
async function whileStill(role: Role, meanwhile: () => Promise<void>): Promise<void> {
  const still = await holdfast.process(role);
  signalProcess(still, 'SIGSTOP');
  try {
    await meanwhile();
  } finally {
    signalProcess(still, 'SIGCONT');
  }
}

test('idle, and ended badly: a retry is offered, and is one', async () => {
  const conversationId = await newConversation(holdfast);
  const idle = await why(conversationId);
  expect(idle).toMatchObject({ state: 'idle', fix: null });
  expect(idle.temporalUi).toMatch(
    new RegExp(
      `^http://127\\.0\\.0\\.1:\\d+/namespaces/default/workflows/conversation%3A${conversationId}$`,
    ),
  );
  await send(holdfast, conversationId, script('words 2', 'fail out of luck'));
  const answer = await whyOnce(conversationId, 'ended-badly');
  expect(answer.waitingFor).toContain('out of luck');
  await type(answer);
  await viewOnce({ holdfast, conversationId, is: ({ state }) => state === 'idle' });
  const { items } = await holdfast.ask<{ items: { attempts: unknown[] }[] }>({
    path: `/v1/conversations/${conversationId}/turns`,
  });
  expect(items[0]?.attempts).toHaveLength(2);
});

test('running; then silent, with the evidence; the cancel that it names ends it', async () => {
  const conversationId = await newConversation(holdfast);
  await begin(conversationId, 'words 20 every 100', 'hang');
  expect(await whyOnce(conversationId, 'running')).toMatchObject({ fix: null });
  const quiet = await whyOnce(conversationId, 'quiet');
  const evidence = Object.fromEntries(quiet.evidence.map(({ what, value }) => [what, value]));
  expect(evidence).toMatchObject({ 'the provider’s process': 'lives' });
  expect(Number(evidence['its pid'])).toBeGreaterThan(1);
  expect(await type(quiet)).toMatch(/cancelled/);
  expect(await why(conversationId)).toMatchObject({ state: 'idle', fix: null });
});

test('an approval: the command allows it, and the tool runs', async () => {
  const conversationId = await newConversation(holdfast);
  await begin(conversationId, 'ask deploy', 'words 3');
  const asked = await whyOnce(conversationId, 'waiting-for-approval');
  expect(asked.waitingFor).toContain('deploy');
  expect(await type(asked)).toBe('Allowed.\n');
  await whyOnce(conversationId, 'idle');
});

test('the slot of its table: whose it is; cancelled there, it starts here', async () => {
  await holdfast.ask({ path: '/v1/tables', body: { tableId: 'desk' } });
  const first = { conversationId: 'first', title: 'Long work' };
  await holdfast.ask({ path: '/v1/tables/desk/conversations', body: first });
  await holdfast.ask({ path: '/v1/tables/desk/conversations', body: { conversationId: 'second' } });
  await holdfast.ask({ path: '/v1/tables/desk/active', body: { conversationId: 'first' } });
  await begin('first', 'words 2', 'ask deploy');
  await whyOnce('first', 'waiting-for-approval');
  await begin('second', 'words 3');
  const waits = await whyOnce('second', 'waiting-for-table');
  expect(waits.waitingFor).toMatch(
    /conversation first \(“Long work”\) does, waiting for an approval/,
  );
  await type(waits);
  await whyOnce('second', 'idle');
});

test('a held queue: released by its command', async () => {
  const conversationId = await newConversation(holdfast);
  await begin(conversationId, 'words 1', 'hang');
  await begin(conversationId, 'words 3');
  await holdfast.ask({
    path: `/v1/conversations/${conversationId}/cancel?wait=end`,
    body: { holdQueue: true },
  });
  const held = await whyOnce(conversationId, 'queue-held');
  expect(await type(held)).toMatch(/^Nothing is held/);
  await whyOnce(conversationId, 'idle');
});

test('a worker that stands still: what was accepted waits for it, and the command replaces it', async () => {
  const conversationId = await newConversation(holdfast);
  await whileStill('worker', async () => {
    const { status } = await holdfast.call({
      path: `/v1/conversations/${conversationId}/messages`,
      body: { requestId: 'while-still', content: script('words 3') },
    });
    expect(status).toBe(202);
    const answer = await eventually(async () => {
      const given = await why(conversationId);
      return given.state === 'worker-away' && given.fix !== null && given;
    }, 20_000);
    expect(answer.fix?.command).toBe(`kill -KILL ${(await holdfast.process('worker')).pid}`);
    expect(answer.since).not.toBeNull();
    await type(answer);
  });
  await viewOnce({
    holdfast,
    conversationId,
    is: ({ state, messages }) => state === 'idle' && messages.length === 2,
    withinMs: RECOVERED_WITHIN_MS,
  });
  expect(await whyOnce(conversationId, 'idle')).toMatchObject({ fix: null });
});

test('a turn host that stands still in mid-turn: the command replaces it, and the turn goes on', async () => {
  const conversationId = await newConversation(holdfast);
  await begin(conversationId, 'words 40 every 200');
  await whyOnce(conversationId, 'running');
  await whileStill('turn-host', async () => {
    const answer = await eventually(async () => {
      const given = await why(conversationId);
      return given.state === 'turn-host-away' && given.fix !== null && given;
    }, 20_000);
    await type(answer);
  });
  await whyOnce(conversationId, 'idle');
});

test('Temporal stands still: a turn runs on, nothing else does, and the answer comes in time', async () => {
  const [busy, idle] = [await newConversation(holdfast), await newConversation(holdfast)];
  await begin(busy, 'words 400 every 50');
  await whyOnce(busy, 'running');
  await whileStill('temporal', async () => {
    const startedMs = performance.now();
    const [ofBusy, ofIdle] = await Promise.all([why(busy), why(idle)]);
    expect(performance.now() - startedMs).toBeLessThan(6_000);
    expect(ofBusy.state).toBe('running');
    expect(ofBusy.waitingFor).toMatch(/Temporal server does not answer/);
    expect(ofIdle).toMatchObject({ state: 'temporal-away' });
    const { code, stdout } = await holdfast.run(['why', idle]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^temporal-away: The Temporal server does not answer/);
    // One that has just started is given time; this one has been there for longer.
    const answer = await eventually(async () => {
      const given = await why(idle);
      return given.fix !== null && given;
    }, 30_000);
    await type(answer);
  });
  await whyOnce(busy, 'running');
  expect(await whyOnce(idle, 'idle')).toMatchObject({ fix: null });
});

test('a Workflow that an operator has terminated in mid-turn: the turn runs, and the worker starts it again', async () => {
  const conversationId = await newConversation(holdfast);
  await begin(conversationId, 'words 2000 every 50');
  await whyOnce(conversationId, 'running');
  const workflow = [
    '--workflow-id',
    `conversation:${conversationId}`,
    '--address',
    holdfast.temporal,
  ];
  await run(temporalBinary(), ['workflow', 'terminate', ...workflow, '--reason', 'a test'], {
    env: { PATH: process.env['PATH'], HOME: holdfast.workspace },
  });
  const answer = await why(conversationId);
  expect(answer).toMatchObject({ state: 'running', fix: null });
  expect(answer.waitingFor).toMatch(/ended from outside; the worker starts it again/);
  expect(answer.evidence).toContainEqual({ what: 'Workflow', value: 'terminated' });
  await eventually(async () => {
    const { waitingFor, evidence } = await why(conversationId);
    return !/outside/.test(waitingFor) && evidence.some(({ what }) => what === 'its Workflow says');
  }, RECOVERED_WITHIN_MS);
  expect((await holdfast.run(['cancel', conversationId])).code).toBe(0);
});

test('holdfast why: words, JSON, and how it ends', async () => {
  const conversationId = await newConversation(holdfast);
  const { code, stdout } = await holdfast.run(['why', conversationId]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^idle: Nothing runs and nothing waits: it is your turn to write\.\n/);
  expect(stdout).toMatch(/Temporal UI +http:/);
  const asJson = await holdfast.run(['why', '--json', conversationId]);
  expect(JSON.parse(asJson.stdout)).toMatchObject({ state: 'idle', fix: null });
  expect(await holdfast.run(['why', 'nobody'])).toMatchObject({ code: 1, stdout: '' });
  expect(await holdfast.run(['why'])).toMatchObject({ code: 2 });
  expect(await holdfast.run(['release', conversationId])).toMatchObject({
    code: 0,
    stdout: 'Nothing is held; waiting now: 0.\n',
  });
  expect(await holdfast.run(['answer', conversationId, 'none', 'allow'])).toMatchObject({
    code: 1,
  });
  expect(await holdfast.run(['answer', conversationId, 'none', 'perhaps'])).toMatchObject({
    code: 2,
  });
});
