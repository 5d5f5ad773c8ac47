/**
 * "B replied but A never got it": mail on its way while each process is killed, at each step between B's end and A's turn with
 * it, and Temporal's database is lost. Every time A is given it once, and A's transcript is its log's. Numbers: design.md section 12.
 *
 * `npm test` takes each process and each step once; `npm run test:every-step` all of them together, which takes minutes.
 *
 * A step is held by stopping (SIGSTOP) whoever would take the next one; the process that is killed may be that one.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { expect, test } from 'vitest';

import { conversationWorkflowId } from '../../../src/contracts/ids.ts';
import { temporalBinary } from '../../support/temporal.ts';
import { expectWholeTeam, TeamUnderTest, type Victim, VICTIMS } from './agents.ts';
import { script } from './conversations.ts';
import { EVERY_STEP, RECOVERED_WITHIN_MS } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const holdfast = sharedHoldfast();
const TIMEOUT_MS = 4 * RECOVERED_WITHIN_MS;
const run = promisify(execFile);

test(
  'M1 the parent is busy: what its child says waits for the end of the turn, and is given to the next one',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const { turnId } = await team.send(team.rootId, script('text "mine "', 'ask go', 'text "end"'));
    await team.spawn('b', script('text "reply"'));
    const [row] = await team.mailOnce(team.rootId, ([first]) => first?.state === 'delivered');
    expect(row?.turnId).not.toBe(turnId);
    expect((await team.view()).queue).toMatchObject([
      { requestId: row?.requestId, mail: { messageId: row?.messageId, kind: 'result' } },
    ]);
    await team.allow(team.rootId);
    await team.mailOnce(team.rootId, ([first]) => first?.state === 'applied');
    await expectWholeTeam(team);
    expect(await team.prompts()).toEqual([
      script('text "mine "', 'ask go', 'text "end"'),
      '[Holdfast mail] Agent b has finished its task and says:\nreply',
    ]);
  },
);

test(
  'M1 W2 thirty children end at once: every result is given, in few turns, and each child’s messages in their order',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    await team.send(team.rootId, script('ask go'));
    const names = Array.from({ length: 30 }, (_, n) => `c${n}`);
    const task = (name: string): string =>
      script(`tell root "${name}: first"`, `tell root "${name}: second"`, `text "${name}: done"`);
    await Promise.all(names.map((name) => team.spawn(name, task(name))));
    await team.mailOnce(team.rootId, (rows) => rows.length === 3 * names.length);
    await team.allow(team.rootId);
    const rows = await team.mailOnce(team.rootId, (all) =>
      all.every(({ state }) => state === 'applied'),
    );
    for (const name of names) {
      const own = rows.filter(({ from }) => from === name);
      const said = own.filter(({ kind }) => kind === 'message').map(({ content }) => content);
      expect(said).toEqual([`${name}: first`, `${name}: second`]);
      expect(own.filter(({ kind }) => kind === 'result')).toMatchObject([
        { content: `${name}: done` },
      ]);
    }
    // 32 of them wait in the queue at most, and are given together.
    expect(new Set(rows.map(({ turnId }) => turnId)).size).toBeLessThanOrEqual(6);
    await expectWholeTeam(team);
  },
);

/** Tells a conversation to look, as whoever has written a row does. */
async function look(conversationId: string): Promise<void> {
  const command = ['workflow', 'signal', '-w', conversationWorkflowId(conversationId)];
  await run(
    temporalBinary(),
    [...command, '--name', 'mail', '--input', '{}', '--address', holdfast.temporal],
    { env: { PATH: process.env['PATH'], HOME: holdfast.workspace } },
  );
}

/** The states of the one row that B's end is. */
const stateOf = async (team: TeamUnderTest): Promise<string | undefined> =>
  (await team.mailbox())[0]?.state;

/** Long enough to stop whoever is to be stopped. */
const SLEEP = 'sleep 3000';
/** Long enough for B to reply meanwhile. */
const LONG_SLEEP = 'sleep 6000';

/** B has begun its task, and will end it in a while. */
async function newReply(team: TeamUnderTest, ...before: string[]): Promise<string> {
  const b = await team.spawn('b', script('text "the "', ...before, 'text "reply"'));
  await team.says(b, 'the ');
  return b;
}

/** Brings a team to a step, does `fault` there, and lets it go on. */
type Step = (team: TeamUnderTest, fault: () => Promise<void>) => Promise<void>;

const STEPS: Record<string, Step> = {
  'B has ended, its row is accepted, and nobody was told': async (team, fault) => {
    const b = await newReply(team, SLEEP);
    await team.whileStopped('worker', async () => {
      await team.event(b, 'chat.done');
      expect(await stateOf(team)).toBe('accepted');
      await fault();
    });
  },
  'A was told to look, and has not looked': async (team, fault) => {
    const b = await newReply(team, SLEEP);
    await team.whileStopped('worker', async () => {
      await team.event(b, 'chat.done');
      await look(team.rootId);
      expect(await stateOf(team)).toBe('accepted');
      await fault();
    });
  },
  'the row is delivered: it waits in A’s queue while A works': async (team, fault) => {
    await team.send(team.rootId, script('ask go'));
    await team.viewOnce(team.rootId, ({ approvals }) => approvals.length > 0);
    await newReply(team);
    await team.mailOnce(team.rootId, ([row]) => row?.state === 'delivered');
    await fault();
    await team.allowWhile(team.rootId, async () => (await stateOf(team)) === 'delivered');
  },
  'A’s turn has ended, and the turn with the row is not started': async (team, fault) => {
    await team.send(team.rootId, script(LONG_SLEEP));
    await newReply(team);
    await team.mailOnce(team.rootId, ([row]) => row?.state === 'delivered');
    await team.whileStopped('worker', async () => {
      await team.event(team.rootId, 'chat.done');
      expect(await stateOf(team)).toBe('delivered');
      await fault();
    });
  },
  'A’s turn with it is recorded as started, and nobody has begun it': async (team, fault) => {
    const b = await newReply(team, SLEEP);
    const workerGoesOn = await team.stop('worker');
    try {
      await team.event(b, 'chat.done');
      await team.whileStopped('turn-host', async () => {
        workerGoesOn();
        await team.event(team.rootId, 'chat.started');
        expect(await stateOf(team)).toBe('applied');
        await fault();
      });
    } finally {
      workerGoesOn();
    }
  },
};

const NAMES = Object.keys(STEPS);
const CASES = NAMES.flatMap((step, row) =>
  VICTIMS.flatMap((victim, column) =>
    EVERY_STEP || column % NAMES.length === row ? [[step, victim] as const] : [],
  ),
);

test.each(CASES)(
  'M1 %s; kill -9 of: %s. A is given it once',
  { timeout: TIMEOUT_MS },
  async (step: string, victim: Victim) => {
    const team = await TeamUnderTest.create(holdfast);
    await STEPS[step]?.(team, () => team.kill(victim));
    await expectGivenOnce(team);
  },
);

test.each(EVERY_STEP ? NAMES.slice(0, 4) : NAMES.slice(1, 2))(
  'M1 %s; Temporal’s database is lost. A is given it once',
  { timeout: TIMEOUT_MS },
  async (step) => {
    const team = await TeamUnderTest.create(holdfast);
    await STEPS[step]?.(team, () => team.loseTemporal());
    await expectGivenOnce(team);
  },
);

/** B's reply is in one turn of A's, once, and A's turn with it has ended. */
async function expectGivenOnce(team: TeamUnderTest): Promise<void> {
  const [row, ...more] = await team.mailOnce(team.rootId, ([first]) => first?.state === 'applied');
  expect(more).toEqual([]);
  expect(row).toMatchObject({ kind: 'result', outcome: 'completed', content: 'the reply' });
  await expectWholeTeam(team);
  const prompts = await team.prompts();
  expect(prompts.filter((prompt) => prompt.includes('the reply'))).toEqual([
    '[Holdfast mail] Agent b has finished its task and says:\nthe reply',
  ]);
  const ended = (await team.log()).filter(
    ({ type, turnId }) => type === 'chat.done' && turnId === row?.turnId,
  );
  expect(ended).toHaveLength(1);
}
