/**
 * The life of agents on real processes: made once, written to, steered, cancelled, gone on with; mail that expired or was removed
 * and is sent again. Numbers: design.md section 12.
 */
import { randomUUID } from 'node:crypto';

import { expect, test } from 'vitest';

import type { QueueAnswerValue } from '../../../src/contracts/http.ts';
import { childConversationId } from '../../../src/domain/mail.ts';
import { textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import { expectWholeTeam, givenIn, TeamUnderTest, VICTIMS } from './agents.ts';
import { script } from './conversations.ts';
import { RECOVERED_WITHIN_MS } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const holdfast = sharedHoldfast();
const TIMEOUT_MS = 3 * RECOVERED_WITHIN_MS;
const HANG = script('words 3', 'hang');

test(
  'M1 a child runs its task; its result is given to its idle parent in one turn, once',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const worker = await team.spawn('worker', script('words 3', 'text "and done"'), {
      name: 'The worker',
      role: 'works',
    });
    await team.mailOnce(team.rootId, ([row]) => row?.state === 'applied');
    await expectWholeTeam(team);
    expect(await team.prompts(worker)).toEqual([script('words 3', 'text "and done"')]);
    expect(await team.prompts()).toEqual([
      '[Holdfast mail] Agent The worker (worker) has finished its task and says:\nw0 w1 w2 and done',
    ]);
    expect(await team.mailbox()).toMatchObject([
      {
        from: 'worker',
        to: 'root',
        fromConversationId: worker,
        toConversationId: team.rootId,
        kind: 'result',
        outcome: 'completed',
        content: 'w0 w1 w2 and done',
      },
    ]);
    expect(await team.mailbox(worker)).toMatchObject([
      { messageId: 'task', from: 'root', to: 'worker', kind: 'task', state: 'applied' },
    ]);
    expect(await team.mailbox(team.rootId, '&box=out')).toMatchObject([{ messageId: 'task' }]);
    expect((await team.tree()).agents).toMatchObject([
      { agentId: 'root', depth: 0, parentId: null, turnCount: 1, outcome: 'completed' },
      {
        agentId: 'worker',
        name: 'The worker',
        role: 'works',
        depth: 1,
        parentId: team.rootId,
        state: 'idle',
        outcome: 'completed',
        turnCount: 1,
        mail: { applied: 1 },
      },
    ]);
  },
);

test.each([
  ['fails', script('words 2', 'fail broken'), 'failed', 'broken'],
  ['exits', script('words 2', 'exit 3'), 'interrupted', 'provider_exited'],
] as const)(
  'M1 a child that %s: its parent is told how, why, and what it had said',
  { timeout: TIMEOUT_MS },
  async (_how, content, outcome, why) => {
    const team = await TeamUnderTest.create(holdfast);
    await team.spawn('worker', content);
    const [row] = await team.mailOnce(team.rootId, ([first]) => first?.state === 'applied');
    expect(row).toMatchObject({ kind: 'error', outcome });
    expect(row?.content).toContain(why);
    expect(row?.content).toContain('It had said:\nw0 w1');
    const [prompt] = await team.prompts();
    expect(prompt).toContain(`[Holdfast mail] The task of agent worker ended ${outcome}:`);
    await expectWholeTeam(team);
  },
);

test(
  'A2 a spawn and a message asked for again, at once and later, are one; with other content they are refused',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const asked = { agentId: 'once', content: script('text "here"') };
    const agents = `/v1/conversations/${team.rootId}/agents`;
    const conversationId = childConversationId(team.rootId, 'once');
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => holdfast.call({ path: agents, body: asked })),
    );
    for (const { status, body } of answers)
      expect({ status, body }).toEqual({ status: 200, body: { agentId: 'once', conversationId } });
    await team.mailOnce(team.rootId, (rows) => rows.length === 1);
    expect(await team.spawn('once', script('text "here"'))).toBe(conversationId);
    for (const other of [{ content: 'something else' }, { name: 'Other' }])
      expect(await holdfast.call({ path: agents, body: { ...asked, ...other } })).toMatchObject({
        status: 409,
        body: { code: 'request_id_reused' },
      });
    const mailbox = `/v1/conversations/${team.rootId}/mailbox`;
    const message = { messageId: randomUUID(), to: 'once', content: 'hello' };
    const said = await Promise.all(
      Array.from({ length: 5 }, () => holdfast.call({ path: mailbox, body: message })),
    );
    expect(said.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(
      await holdfast.call({ path: mailbox, body: { ...message, content: 'x' } }),
    ).toMatchObject({
      status: 409,
      body: { code: 'request_id_reused' },
    });
    await team.mailOnce(conversationId, (rows) => rows.every(({ state }) => state === 'applied'));
    expect((await team.mailbox(conversationId)).map(({ kind }) => kind)).toEqual([
      'task',
      'message',
    ]);
    await expectWholeTeam(team);
    expect(await team.members()).toEqual([team.rootId, conversationId]);
  },
);

test(
  'X1 a message to itself, to nobody, and to a conversation of another team is refused, and nothing is stored',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const other = await TeamUnderTest.create(holdfast);
    await team.spawn('a');
    const stranger = await other.spawn('a');
    const path = `/v1/conversations/${team.rootId}/mailbox`;
    for (const [to, status, code] of [
      ['root', 400, 'invalid_request'],
      [team.rootId, 400, 'invalid_request'],
      ['nobody', 404, 'not_found'],
      [stranger, 404, 'not_found'],
      [other.rootId, 404, 'not_found'],
    ] as const)
      expect(await holdfast.call({ path, body: { to, content: 'psst' } })).toMatchObject({
        status,
        body: { code },
      });
    const deep = await holdfast.call({ path, body: { to: 'a', content: 'x'.repeat(1_100_000) } });
    expect(deep).toMatchObject({ status: 413, body: { code: 'payload_too_large' } });
    for (const each of [team, other])
      for (const conversationId of await each.members())
        expect(await each.mailbox(conversationId, '&box=any')).toEqual([]);
  },
);

test(
  'M1 siblings write to each other, a provider by its tools too; both ways in order',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const a = await team.spawn('a');
    const b = await team.spawn('b');
    for (let n = 0; n < 6; n += 1) {
      await team.tell(a, 'b', `to b, ${n}`);
      await team.tell(b, a, `to a, ${n}`);
    }
    await team.send(a, script('tell b "by hand, 1"', 'tell b "by hand, 2"', 'text "told"'));
    for (const [receiver, count] of [
      [a, 6],
      [b, 8],
    ] as const)
      await team.mailOnce(
        receiver,
        (rows) => rows.filter(({ state }) => state === 'applied').length === count,
      );
    expect((await team.mailbox(b)).map(({ content }) => content).slice(-2)).toEqual([
      'by hand, 1',
      'by hand, 2',
    ]);
    await expectWholeTeam(team);
    // Nobody above hears of it.
    expect(await team.mailbox()).toEqual([]);
  },
);

test(
  'M1 a provider makes an agent and is told of its end: one tree, three levels deep',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const leaf = script('text "leaf done"');
    const middle = script(`spawn leaf ${JSON.stringify(leaf)}`, 'text "middle done"');
    await team.send(team.rootId, script(`spawn middle ${JSON.stringify(middle)}`, 'team'));
    const conversationId = childConversationId(team.rootId, 'middle');
    await team.mailOnce(conversationId, (rows) => rows.some(({ kind }) => kind === 'result'));
    await team.mailOnce(team.rootId, (rows) => rows.some(({ kind }) => kind === 'result'));
    await team.mailOnce(conversationId, (rows) => rows.every(({ state }) => state === 'applied'));
    await expectWholeTeam(team);
    expect(
      (await team.tree()).agents.map(({ agentId, depth, outcome }) => [agentId, depth, outcome]),
    ).toEqual([
      ['root', 0, 'completed'],
      ['middle', 1, 'completed'],
      ['leaf', 2, 'completed'],
    ]);
    expect((await team.mailbox()).map(({ content }) => content)).toEqual(['middle done']);
    expect(textOf(await team.view())).toContain('middle');
  },
);

test(
  'M1 a message that steers is taken into the turn that runs; its row is applied with that turn',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const a = await team.spawn('a', script('words 600 every 20'));
    await team.says(a, 'w3 ');
    const { messageId } = await team.tell(team.rootId, 'a', 'look here', { whenBusy: 'steer' });
    const rows = await team.mailOnce(a, (all) =>
      all.some((row) => row.messageId === messageId && row.state === 'applied'),
    );
    const [task, steered] = rows;
    expect(steered?.turnId).toBe(task?.turnId);
    await team.says(a, 'steered: ');
    const { state } = await team.view(a);
    expect(state).toBe('processing');
    const [given] = givenIn(await team.log(a), rows).filter((each) => each.messageId === messageId);
    expect(given?.content).toBe('[Holdfast mail] Message from agent root:\nlook here');
    await team.insist({ path: `/v1/conversations/${a}/cancel`, body: {} });
    await expectWholeTeam(team);
  },
);

test(
  'M1 an agent that has ended goes on in its own session when it is written to; its parent hears of its task’s end alone',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const a = await team.spawn('a', script('say session'));
    await team.mailOnce(team.rootId, ([row]) => row?.state === 'applied');
    const session = (await team.member('a')).providerSessionId ?? 'none';
    expect(textOf(await team.view(a))).toBe(session);
    for (const steps of [['say session'], ['say turns']])
      await team.tell(team.rootId, 'a', script(...steps));
    await team.mailOnce(
      a,
      (rows) => rows.length === 3 && rows.every((row) => row.state === 'applied'),
    );
    await team.atRest();
    expect(textOf(await team.view(a))).toMatch(new RegExp(`^${session}${session}[23]$`));
    await team.kill('provider');
    await team.tell(team.rootId, 'a', script('text " again "', 'say session'));
    await team.says(a, ` again ${session}`);
    await expectWholeTeam(team);
    expect(await team.mailbox()).toHaveLength(1);
  },
);

test(
  'C1 a cancel by cascade ends everybody, holds what waits, and what it makes the children say starts nothing before the next good end',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const a = await team.spawn('a', HANG);
    const b = await team.spawn('b', HANG, { parentId: a });
    const c = await team.spawn('c', HANG);
    await team.send(team.rootId, HANG);
    for (const each of [team.rootId, a, b, c]) await team.says(each, 'w2 ');
    const waits = await team.send(b, 'waits');
    await team.insist({
      path: `/v1/conversations/${team.rootId}/cancel`,
      body: { cascade: true },
    });
    for (const each of [team.rootId, a, b, c])
      await team.viewOnce(each, ({ state }) => state === 'idle');
    for (const agentId of ['root', 'a', 'b', 'c'])
      expect((await team.member(agentId)).outcome).toBe('cancelled');
    const queue = await holdfast.ask<QueueAnswerValue>({ path: `/v1/conversations/${b}/queue` });
    expect(queue).toMatchObject({ held: true, items: [{ requestId: waits.requestId }] });
    const told = await team.mailOnce(team.rootId, (rows) => rows.length === 2);
    expect(told).toMatchObject(
      ['accepted', 'accepted'].map((state) => ({ kind: 'error', outcome: 'cancelled', state })),
    );
    const ofA = await team.mailOnce(a, (rows) => rows.length === 2);
    expect(ofA).toMatchObject([{ kind: 'task' }, { kind: 'error', state: 'accepted' }]);
    // Another cancelled turn takes none of it either.
    await team.send(team.rootId, HANG);
    await team.viewOnce(team.rootId, ({ state }) => state === 'processing');
    await team.insist({ path: `/v1/conversations/${team.rootId}/cancel`, body: {} });
    await team.viewOnce(team.rootId, ({ state }) => state === 'idle');
    expect((await team.mailbox()).map(({ state }) => state)).toEqual(['accepted', 'accepted']);
    expect((await team.view(a)).state).toBe('idle');
    // A good end does, with both at once.
    await team.send(team.rootId, script('text "good"'));
    const applied = await team.mailOnce(team.rootId, (rows) =>
      rows.every(({ state }) => state === 'applied'),
    );
    expect(new Set(applied.map(({ turnId }) => turnId)).size).toBe(1);
    await team.insist({
      method: 'PATCH',
      path: `/v1/conversations/${b}/queue`,
      body: { held: false },
    });
    await expectWholeTeam(team);
    expect((await team.mailbox(a)).map(({ state }) => state)).toEqual(['applied', 'accepted']);
  },
);

test(
  'M1 a message that somebody takes out of the queue has failed, and is given when it is sent again; once it was given, never again',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const a = await team.spawn('a');
    await team.send(team.rootId, script('ask go'));
    const { messageId } = await team.tell(a, 'root', 'take me');
    const [row] = await team.mailOnce(team.rootId, ([first]) => first?.state === 'delivered');
    await team.insist({
      method: 'DELETE',
      path: `/v1/conversations/${team.rootId}/queue/${row?.requestId ?? ''}`,
    });
    const [failed] = await team.mailOnce(team.rootId, ([first]) => first?.state === 'failed');
    expect(failed).toMatchObject({ messageId, reason: 'removed' });
    expect(await team.mailbox(team.rootId, '&state=failed')).toHaveLength(1);
    const again = await team.resend(team.rootId, messageId);
    expect(['accepted', 'delivered']).toContain(again.state);
    expect(again.reason).toBeUndefined();
    await team.mailOnce(team.rootId, ([first]) => first?.state === 'delivered');
    await team.allow(team.rootId);
    const [given] = await team.mailOnce(team.rootId, ([first]) => first?.state === 'applied');
    expect(given?.requestId).not.toBe(row?.requestId);
    const path = `/v1/conversations/${team.rootId}/mailbox/${messageId}/resend`;
    expect(await holdfast.call({ path, body: {} })).toMatchObject({
      status: 409,
      body: { code: 'already_resolved' },
    });
    await expectWholeTeam(team);
    expect(await team.mailbox()).toHaveLength(1);
  },
);

test(
  'M1 mail that nobody could take in its time has expired, starts nothing, and is given when it is sent again',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const a = await team.spawn('a');
    const messageId = randomUUID();
    const body = { messageId, to: 'root', content: 'too late', expiresInMs: 1_000 };
    await team.whileStopped('worker', async () => {
      const sentMs = Date.now();
      const answer = await holdfast.call({ path: `/v1/conversations/${a}/mailbox`, body });
      expect(answer).toMatchObject({ status: 202, body: { messageId, accepted: true } });
      await eventually(() => Date.now() > sentMs + 2 * body.expiresInMs);
    });
    const [row] = await team.mailOnce(team.rootId, ([first]) => first?.state === 'expired');
    expect(row).toMatchObject({ messageId, reason: 'expired' });
    expect((await team.view()).messages).toEqual([]);
    await team.resend(team.rootId, messageId);
    await team.mailOnce(team.rootId, ([first]) => first?.state === 'applied');
    await expectWholeTeam(team);
  },
);

test(
  'M1 a child that is run again by hand tells its second end too; each is given once',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const a = await team.spawn('a', script('text "half "', 'hang once', 'text "whole"'));
    await team.says(a, 'half ');
    await team.kill('provider');
    const [error] = await team.mailOnce(team.rootId, ([first]) => first?.state === 'applied');
    expect(error).toMatchObject({ kind: 'error', outcome: 'interrupted' });
    const [task] = await team.mailbox(a);
    await team.insist({
      path: `/v1/conversations/${a}/turns/${task?.turnId ?? ''}/retry`,
      body: { requestId: randomUUID() },
    });
    const rows = await team.mailOnce(
      team.rootId,
      (all) => all.length === 2 && all.every(({ state }) => state === 'applied'),
    );
    expect(rows).toMatchObject([
      { messageId: `end-${task?.turnId}-1`, kind: 'error' },
      { messageId: `end-${task?.turnId}-2`, kind: 'result', content: 'half whole' },
    ]);
    await expectWholeTeam(team);
  },
);

test(
  'A3 a child that is asked for while no worker is there is not to be seen before it is whole; whatever is killed meanwhile, it is made once',
  { timeout: 2 * TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const path = `/v1/conversations/${team.rootId}/agents`;
    for (const victim of VICTIMS) {
      const body = { agentId: victim, content: script(`text "from ${victim}"`) };
      const conversationId = childConversationId(team.rootId, victim);
      await team.whileStopped('worker', async () => {
        expect(await holdfast.call({ path, body })).toMatchObject({
          status: 503,
          body: { code: 'temporal_unavailable', accepted: true, agentId: victim },
        });
        expect((await team.tree()).agents.map(({ agentId }) => agentId)).not.toContain(victim);
        expect(await holdfast.call({ path: `/v1/conversations/${conversationId}` })).toMatchObject({
          status: 404,
        });
        await team.kill(victim);
      });
      // Nobody asks again.
      await team.mailOnce(team.rootId, (rows) =>
        rows.some((row) => row.from === victim && row.state === 'applied'),
      );
    }
    await expectWholeTeam(team);
    expect((await team.mailbox()).map(({ content }) => content)).toEqual(
      VICTIMS.map((victim) => `from ${victim}`),
    );
  },
);

test(
  'A3 a child that Temporal had accepted and nobody had made is gone with Temporal’s database; asked for again it is made',
  { timeout: TIMEOUT_MS },
  async () => {
    const team = await TeamUnderTest.create(holdfast);
    const body = { agentId: 'lost', content: script('text "here"') };
    await team.whileStopped('worker', async () => {
      const path = `/v1/conversations/${team.rootId}/agents`;
      expect(await holdfast.call({ path, body })).toMatchObject({ status: 503 });
      await team.loseTemporal();
    });
    expect(await team.members()).toEqual([team.rootId]);
    await team.spawn(body.agentId, body.content);
    await team.mailOnce(team.rootId, ([row]) => row?.state === 'applied');
    await expectWholeTeam(team);
  },
);
