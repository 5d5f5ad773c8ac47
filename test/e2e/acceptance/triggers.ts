/**
 * What the tests of triggers do over and over: make one, follow its ledger, and hold the ledger against what must be in it.
 * When something is due is plain arithmetic here: at whole multiples of an interval since 1970.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';

import { expect } from 'vitest';

import type { Event } from '../../../src/contracts/events.ts';
import type {
  CreateTriggerBodyValue,
  LedgerCountsValue,
  LedgerRowValue,
  PatchTriggerBodyValue,
  TriggerViewValue,
} from '../../../src/contracts/triggers.ts';
import { eventually } from '../../support/eventually.ts';
import type { Call, Holdfast } from '../../support/holdfast.ts';
import { temporalBinary } from '../../support/temporal.ts';
import { readLog, script } from './conversations.ts';
import { endsOf, RECOVERED_WITHIN_MS, viewOf } from './faults.ts';

const run = promisify(execFile);
const RAN = new Set(['fired', 'late', 'caught-up']);
const RECEIPTS = new Set(['chat.started', 'chat.queued', 'chat.rejected']);

export type Ledger = { items: LedgerRowValue[]; counts: LedgerCountsValue };

/** What a trigger of these tests is made of; its prompt ends at once unless it says otherwise. */
export type Asked = Omit<CreateTriggerBodyValue, 'content' | 'schedule' | 'triggerId'> & {
  content?: string;
  everyMs?: number;
  schedule?: CreateTriggerBodyValue['schedule'];
};

export function isRun({ outcome }: LedgerRowValue): boolean {
  return RAN.has(outcome);
}

export const dueMs = ({ dueAt }: LedgerRowValue): number => Date.parse(dueAt);

/** Multiples of `everyMs` after `afterMs`, up to and with `untilMs`. */
export function multiples(everyMs: number, afterMs: number, untilMs: number): number[] {
  const found: number[] = [];
  for (let at = (Math.floor(afterMs / everyMs) + 1) * everyMs; at <= untilMs; at += everyMs)
    found.push(at);
  return found;
}

/** As `<seconds after base> <outcome> <reason>`, oldest first: for a failure that can be read. */
export function said(rows: readonly LedgerRowValue[], baseMs = 0): string[] {
  return rows.map((row) =>
    [(dueMs(row) - baseMs) / 1_000, row.outcome, ...(row.reason === undefined ? [] : [row.reason])]
      .join(' ')
      .trim(),
  );
}

/** One trigger of a started Holdfast. */
export class TriggerUnderTest {
  readonly holdfast: Holdfast;
  readonly triggerId: string;
  readonly everyMs: number;
  /** It was made between the two. */
  readonly created: { fromMs: number; untilMs: number };

  private constructor(parts: {
    holdfast: Holdfast;
    triggerId: string;
    everyMs: number;
    created: { fromMs: number; untilMs: number };
  }) {
    this.holdfast = parts.holdfast;
    this.triggerId = parts.triggerId;
    this.everyMs = parts.everyMs;
    this.created = parts.created;
  }

  static async create(holdfast: Holdfast, asked: Asked): Promise<TriggerUnderTest> {
    const { everyMs = 1_000, content = script('text "ran "'), ...rest } = asked;
    const triggerId = randomUUID();
    const fromMs = Date.now();
    await holdfast.ask<TriggerViewValue>({
      path: '/v1/triggers',
      body: { triggerId, content, schedule: { everyMs }, ...rest },
    });
    return new TriggerUnderTest({
      holdfast,
      triggerId,
      everyMs,
      created: { fromMs, untilMs: Date.now() },
    });
  }

  get path(): string {
    return `/v1/triggers/${this.triggerId}`;
  }

  async view(): Promise<TriggerViewValue> {
    return this.holdfast.ask({ path: this.path });
  }

  /** The whole ledger, page by page; oldest first. */
  async ledger(query = ''): Promise<LedgerRowValue[]> {
    const rows: LedgerRowValue[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const from: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page: Ledger & { nextCursor: string | null } = await this.holdfast.ask({
        path: `${this.path}/ledger?limit=100${query}${from}`,
      });
      rows.push(...page.items);
      cursor = page.nextCursor;
    }
    return rows.toReversed();
  }

  async counts(): Promise<LedgerCountsValue> {
    return (await this.holdfast.ask<Ledger>({ path: `${this.path}/ledger?limit=1` })).counts;
  }

  /** The ledger, oldest first, once it is as wanted. A gateway that is away answers nothing meanwhile. */
  async until(
    is: (rows: LedgerRowValue[]) => boolean,
    withinMs = RECOVERED_WITHIN_MS,
  ): Promise<LedgerRowValue[]> {
    return eventually(async () => {
      const rows = await this.ledger();
      return is(rows) && rows;
    }, withinMs);
  }

  /** Once `count` rows more than now, that ran, are there. */
  async untilRan(count: number): Promise<LedgerRowValue[]> {
    const before = (await this.until(() => true)).filter(isRun).length;
    return this.until((rows) => rows.filter(isRun).length >= before + count);
  }

  /** Once what was due at `atMs` has its row. */
  async untilDecided(atMs: number): Promise<LedgerRowValue[]> {
    return this.until((rows) => rows.some((row) => dueMs(row) >= atMs && row.cause === 'due'));
  }

  async change(change: PatchTriggerBodyValue): Promise<TriggerViewValue> {
    return this.insist({ method: 'PATCH', path: this.path, body: change });
  }

  async fire(requestId: string = randomUUID()): Promise<LedgerRowValue> {
    return this.insist({ path: `${this.path}/fire`, body: { requestId } });
  }

  async remove(): Promise<void> {
    await this.insist({ method: 'DELETE', path: this.path });
  }

  /** The same again until it is answered with 200, as a client does whose answers may be lost. */
  async insist<T>(call: Call): Promise<T> {
    return eventually(async () => {
      const { status, body } = await this.holdfast.call(call);
      if (status !== 200) throw new Error(`${call.path}: ${status} ${JSON.stringify(body)}`);
      return body as NonNullable<T>;
    }, RECOVERED_WITHIN_MS);
  }
}

/**
 * D1: every due time since it was made has one row of cause `due` or `backfill`, in order, and none has a row that was not
 * due; up to the newest, which is not of the future. Answers the rows, oldest first. Of an edited one this does not hold.
 */
export async function expectEveryDueTime(trigger: TriggerUnderTest): Promise<LedgerRowValue[]> {
  const rows = (await trigger.ledger()).filter(({ cause }) => cause !== 'manual');
  const nowMs = Date.now();
  const { fromMs, untilMs } = trigger.created;
  const first = rows[0];
  const last = rows.at(-1);
  if (first === undefined || last === undefined) throw new Error('no row was written');
  expect(dueMs(first)).toBeGreaterThan(fromMs);
  expect(dueMs(first)).toBeLessThanOrEqual(untilMs + trigger.everyMs);
  expect(dueMs(last)).toBeLessThanOrEqual(nowMs);
  expect(rows.map(({ dueAt }) => dueAt)).toEqual(
    multiples(trigger.everyMs, dueMs(first) - 1, dueMs(last)).map((at) =>
      new Date(at).toISOString(),
    ),
  );
  return rows;
}

/**
 * D2: each row that ran names a request that has one receipt and one end in its conversation, is announced there before both,
 * and says which turn that was; nothing else is announced there by this trigger. Waits for ends that are still to come.
 */
export async function expectEveryRunEnded(
  trigger: TriggerUnderTest,
  rows: readonly LedgerRowValue[],
): Promise<void> {
  const { holdfast, triggerId } = trigger;
  const ran = rows.filter(isRun);
  const requests = ran.map(({ requestId }) => requestId);
  expect(new Set(requests).size).toBe(requests.length);
  const turns = new Map<string | undefined, string | undefined>();
  const announced: (string | undefined)[] = [];
  for (const place of new Set(ran.map(({ conversationId }) => conversationId ?? ''))) {
    const here = ran.filter(({ conversationId }) => conversationId === place);
    const log = await eventually(async () => {
      const events = await readLog(holdfast, place);
      const open = here.filter((row) => fateOf(events, row.requestId).ends.length === 0);
      if (open.length > 0) throw new Error(`no end yet: ${JSON.stringify(open.slice(0, 3))}`);
      return events;
    }, RECOVERED_WITHIN_MS);
    for (const { requestId, dueAt } of here) {
      const { turnId, ends, order } = fateOf(log, requestId);
      expect({ dueAt, order, ends }).toEqual({
        dueAt,
        order: ['trigger.fired', 'receipt', 'end'],
        ends: ends.slice(0, 1),
      });
      turns.set(requestId, turnId);
    }
    for (const event of log)
      if (event.type === 'trigger.fired' && event.payload.triggerId === triggerId)
        announced.push(event.requestId);
  }
  // Read last: what has fired meanwhile is in it.
  const now = await trigger.ledger();
  const ofRequest = new Map(now.map((row) => [row.requestId, row]));
  for (const [requestId, turnId] of turns) expect(ofRequest.get(requestId)?.turnId).toBe(turnId);
  expect(new Set(announced).size).toBe(announced.length);
  expect(announced.filter((requestId) => !ofRequest.has(requestId))).toEqual([]);
}

/** What a conversation's log says of a request: its turn, in which order what happened, and the ends of the turn. */
function fateOf(log: readonly Event[], requestId: string | undefined) {
  const ofRequest = log.filter((event) => event.requestId === requestId);
  const wasQueued = ofRequest.some(({ type }) => type === 'chat.queued');
  // What waited is started later, under the same request.
  const receipts = ofRequest.filter(
    ({ type }) => RECEIPTS.has(type) && !(type === 'chat.started' && wasQueued),
  );
  const turnId = receipts[0]?.turnId;
  const ended = log.filter((event) => turnId !== undefined && event.turnId === turnId);
  const ends = endsOf(ended);
  const order = [
    ...ofRequest
      .filter(({ type }) => type === 'trigger.fired')
      .map(({ seq, type }) => ({ seq, type })),
    ...receipts.map(({ seq }) => ({ seq, type: 'receipt' })),
    ...ended
      .filter((event) => ends.includes(`${event.turnId}.${event.attempt} ${event.type}`))
      .map(({ seq }) => ({ seq, type: 'end' })),
  ];
  return { turnId, ends, order: order.toSorted((a, b) => a.seq - b.seq).map(({ type }) => type) };
}

/** What `temporal schedule …` says. */
export async function scheduleCommand(
  holdfast: Holdfast,
  ...args: readonly string[]
): Promise<string> {
  const { stdout } = await run(
    temporalBinary(),
    ['schedule', ...args, '--address', holdfast.temporal],
    // Untouched by anyone's Temporal profile, which it looks for in its home.
    { env: { PATH: process.env['PATH'], HOME: holdfast.workspace } },
  );
  return stdout;
}

/** Ids of the Schedules that Temporal has. */
export async function schedulesOf(holdfast: Holdfast): Promise<string[]> {
  const rows = JSON.parse(await scheduleCommand(holdfast, 'list', '--output', 'json')) as {
    scheduleId: string;
  }[];
  return rows.map(({ scheduleId }) => scheduleId);
}

/**
 * What was due last is done, and a moment ago: nothing of these triggers is under way, and nothing will be for a while. (Of what is sent
 * before a copy and done after it, Temporal knows the end, and the copy does not; what is sent before New chat and starts after it
 * takes the table back.)
 */
export async function justDone(triggers: readonly TriggerUnderTest[]): Promise<void> {
  await eventually(async () => {
    for (const trigger of triggers) {
      const { turnId, conversationId = '', ...last } = (await trigger.ledger()).at(-1) ?? noRow();
      const { state } = await viewOf({ holdfast: trigger.holdfast, conversationId });
      const isDone = turnId !== undefined && state === 'idle';
      if (!isDone || Date.now() - dueMs(last) > trigger.everyMs / 4) return false;
    }
    return true;
  }, RECOVERED_WITHIN_MS);
}

function noRow(): never {
  throw new Error('there is no row');
}
