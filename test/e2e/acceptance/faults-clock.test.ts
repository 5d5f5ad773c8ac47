/**
 * The machine's clock is set two days ahead in mid-turn, and then four days back. Numbers: design.md section 12.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

import type { Event } from '../../../src/contracts/events.ts';
import type { SendAnswerValue } from '../../../src/contracts/http.ts';
import type { ReceiptValue } from '../../../src/contracts/view.ts';
import { eventually } from '../../support/eventually.ts';
import { Holdfast } from '../../support/holdfast.ts';
import { SteadyClient } from '../../support/steady-client.ts';
import { temporalBinary } from '../../support/temporal.ts';
import { WallClock } from '../../support/wall-clock.ts';
import { newConversation, readLog, script, send, words } from './conversations.ts';
import { allow, endsOf, epochsOf, expectWholeLog, RECOVERED_WITHIN_MS } from './faults.ts';

const DAY_MS = 24 * 3_600_000;
/** Of a provider that has begun to answer: long enough for a busy machine, and nothing beside two days. */
const QUIET_AFTER_MS = 3_000;
const STALLED_AFTER_MS = 6_000;

let clock: WallClock;
let holdfast: Holdfast;

beforeAll(async () => {
  clock = new WallClock();
  holdfast = new Holdfast({
    temporalBinary: temporalBinary(),
    environment: {
      // For a tool an hour, which a jump of two days is more than; for an answer seconds, which a jump back would put off
      // for days.
      HOLDFAST_QUIET_AFTER_MS: `3600000,streaming=${QUIET_AFTER_MS}`,
      HOLDFAST_STALLED_AFTER_MS: `7200000,streaming=${STALLED_AFTER_MS}`,
    },
  });
  await holdfast.start({ command: clock.command });
});

beforeEach(({ onTestFailed }) => {
  onTestFailed(() => void process.stderr.write(holdfast.logs()));
});

afterAll(async () => {
  await holdfast.discard();
  clock.discard();
});

type Turn = { conversationId: string; turnId: string; body: object; client: SteadyClient };

/** A turn and a client that follows it. */
async function startTurn(...steps: string[]): Promise<Turn> {
  const conversationId = await newConversation(holdfast);
  const body = { requestId: 'turn', content: script(...steps) };
  const client = new SteadyClient({ conversationId, gateway: () => holdfast });
  const { turnId } = await holdfast.ask<ReceiptValue>({
    path: `/v1/conversations/${conversationId}/messages`,
    body,
  });
  return { conversationId, turnId: turnId ?? '', body, client };
}

async function answerTo({ conversationId, body }: Turn): Promise<SendAnswerValue> {
  return holdfast.ask({ path: `/v1/conversations/${conversationId}/messages?wait=end`, body });
}

const typesOf = ({ client }: Turn): string[] => client.reader.events.map(({ type }) => type);

/** How many days a moment is off the machine's clock. */
const daysOff = (at: string): number => Math.round((Date.parse(at) - Date.now()) / DAY_MS) + 0;

const daysOf = (log: readonly Event[]): number[] => {
  const days = log.map(({ at }) => daysOff(at));
  return days.filter((day, index) => day !== days[index - 1]);
};

/** Sets the clock, and waits until the turn's host goes by it. */
async function setClock(days: number, turn: Turn): Promise<void> {
  clock.set(days * DAY_MS);
  await eventually(() => {
    const newest = turn.client.reader.events.at(-1);
    return newest !== undefined && daysOff(newest.at) === days;
  });
}

async function newTicket(): Promise<string> {
  const call = { method: 'POST', path: '/v1/ws-tickets' } as const;
  return (await holdfast.ask<{ ticket: string }>(call)).ticket;
}

/** Opens a socket with the ticket; answers with what it is told of the time. */
async function openWith(ticket: string): Promise<string> {
  const address = `${holdfast.api.replace(/^http/, 'ws')}/v1/ws?ticket=${ticket}`;
  const socket = new WebSocket(address, 'holdfast.v1');
  const frames: string[] = [];
  socket.addEventListener('message', ({ data }) => frames.push(String(data)));
  socket.addEventListener('open', () => socket.send(JSON.stringify({ type: 'hello' })));
  const hello = await eventually(() => frames[0]);
  socket.close();
  return (JSON.parse(hello) as { payload: { serverTime: string } }).payload.serverTime;
}

/** A new conversation, a send, a ticket from before and a new one, all by that clock. */
async function expectUsable({ days, ticket }: { days: number; ticket: string }): Promise<void> {
  const conversationId = await newConversation(holdfast);
  const answer = await send(holdfast, conversationId, script('words 3', 'usage 1 2 0'));
  expect(answer).toMatchObject({ outcome: 'completed', text: words(3) });
  expect(daysOf(await readLog(holdfast, conversationId))).toEqual([days]);
  for (const each of [ticket, await newTicket()]) expect(daysOff(await openWith(each))).toBe(days);
}

/** Every number of milliseconds in a value, with where it stands. */
function durationsIn(value: unknown, path = ''): [string, number][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]: [string, unknown]) =>
    typeof inner === 'number' && /Ms(Used)?$/.test(name)
      ? [[`${path}.${name}`, inner] as [string, number]]
      : durationsIn(inner, `${path}.${name}`),
  );
}

test(
  'F2 L1 L5 P3 W1 two days ahead, then four back: nothing ends early or late, nothing is called silent, everything goes on',
  { timeout: 4 * RECOVERED_WITHIN_MS },
  async () => {
    const streaming = await startTurn('words 800 every 20', 'ask go', 'words 20');
    const asking = await startTurn('words 2', 'ask deploy', 'text "deployed"');
    const working = await startTurn('words 2', 'tool build for 3600000 prints 1');
    const { reader } = streaming.client;
    await reader.until(() => reader.text.includes('w20 '));
    await asking.client.reader.until((view) => view.approvals.length > 0);
    await working.client.reader.until((view) => view.activeTurn?.phase === 'tool-running');

    let ticket = await newTicket();
    await setClock(2, streaming);
    await expectUsable({ days: 2, ticket });
    const hanging = await startTurn('words 3', 'hang');
    await hanging.client.reader.until(() => hanging.client.reader.text === words(3));

    ticket = await newTicket();
    await setClock(-2, streaming);
    await expectUsable({ days: -2, ticket });
    // Its silence began before the jump back, and is as long as if there had been none.
    await hanging.client.reader.until((view) => view.state === 'idle');
    expect(await answerTo(hanging)).toMatchObject({ outcome: 'interrupted', cause: 'stalled' });
    const quiet = hanging.client.reader.events.flatMap((event) =>
      event.type === 'chat.quiet' ? [event.payload.silentMs] : [],
    );
    expect(quiet).toHaveLength(1);
    expect(quiet[0]).toBeGreaterThanOrEqual(QUIET_AFTER_MS);
    expect(quiet[0]).toBeLessThan(DAY_MS);

    const host = await holdfast.process('turn-host');
    process.kill(host.pid, 'SIGKILL');
    await reader.until(() => epochsOf(reader.events).length === 1, RECOVERED_WITHIN_MS);
    for (const turn of [streaming, asking, working]) {
      expect(turn.client.reader.view.state).toBe('processing');
      expect(typesOf(turn)).not.toContain('chat.quiet');
      expect(typesOf(turn)).not.toContain('chat.cancelling');
    }

    // Each ends as it would have.
    const { conversationId } = streaming;
    await reader.until((view) => view.approvals.length > 0, RECOVERED_WITHIN_MS);
    for (const { client, ...turn } of [streaming, asking]) {
      const [approval] = client.reader.view.approvals;
      const approvalId = approval?.approvalId ?? '';
      await allow({ holdfast, conversationId: turn.conversationId, approvalId });
    }
    const text = words(800) + words(20);
    expect(await answerTo(streaming)).toMatchObject({ outcome: 'completed', text });
    expect(await answerTo(asking)).toMatchObject({
      outcome: 'completed',
      text: `${words(2)}deployed`,
    });
    const path = `/v1/conversations/${working.conversationId}/cancel?wait=end`;
    expect(await holdfast.ask({ path, body: {} })).toMatchObject({ outcome: 'cancelled' });

    const log = await readLog(holdfast, conversationId);
    expectWholeLog({ log, text });
    expect(endsOf(log)).toEqual([`${streaming.turnId}.1 chat.done`]);
    // `at` is what the clock said then; seq alone is the order.
    expect(daysOf(log)).toEqual([0, 2, -2]);
    for (const turn of [streaming, asking, working, hanging]) {
      const whole = await readLog(holdfast, turn.conversationId);
      await turn.client.reader.until((view) => view.lastSeq === whole.length);
      expect(turn.client.reader.events).toEqual(whole);
      expect(turn.client.reader.faults).toEqual([]);
      const durations = whole.flatMap(({ type, payload }) => durationsIn(payload, type));
      expect(durations.filter(([, ms]) => ms < 0)).toEqual([]);
      turn.client.close();
    }
    const metrics = await holdfast.ask<string>({ path: '/metrics' });
    expect(metrics.split('\n').filter((line) => / -\d/.test(line))).toEqual([]);
  },
);
