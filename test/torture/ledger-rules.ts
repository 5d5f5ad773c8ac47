/**
 * D2: a row that ran names a request which was sent once, into that conversation, with the content of its rule, announced by one
 * `trigger.fired`. D1, of what is read: the ledger is what follows from the trigger's decisions and its conversations' receipts.
 */
import type { Event } from '../../src/contracts/events.ts';
import type { LedgerCountsValue, LedgerRowValue } from '../../src/contracts/triggers.ts';
import {
  CLOCK_SLACK_MS,
  contentTaken,
  type Court,
  excerpt,
  firstDifference,
  type Known,
  type Place,
  receiptsOf,
} from './court.ts';
import type { Evidence, LedgerReading } from './evidence.ts';
import { readMailbox } from './team-log.ts';
import { type Expect, type Fate, type Fire, RAN, stamp, type Trigger } from './trigger-log.ts';

export function checkRequests(
  court: Court,
  given: {
    triggers: readonly Trigger[];
    all: readonly Known[];
    fates: ReadonlyMap<string, readonly Fate[]>;
    evidence: Evidence;
  },
): void {
  const { triggers, all, fates, evidence } = given;
  const fires = triggers.flatMap((trigger) => trigger.fires.map((fire) => ({ trigger, fire })));
  const byRequest = Map.groupBy(fires, ({ fire }) => fire.requestId ?? '');
  const announced = announcementsOf(all);
  for (const { trigger, fire } of fires) {
    const { dueAt, outcome, requestId, conversationId, seq } = fire;
    const ran = RAN.has(outcome);
    const place = (): Place => trigger.stream.at([seq]);
    const whose = `trigger ${fire.triggerId}: the row of ${dueAt}`;
    court.expect('D2', ran === (requestId !== undefined && conversationId !== undefined), () => ({
      what: `${whose} is ${outcome}, and names ${requestId === undefined ? 'no request' : `request ${requestId}`}${conversationId === undefined ? ', no conversation' : ''}`,
      ...place(),
    }));
    if (requestId === undefined) continue;
    const rows = byRequest.get(requestId)?.length ?? 0;
    court.expect('D2', rows === 1, () => ({
      what: `${whose} names request ${requestId}, which ${rows} rows name`,
      ...place(),
    }));
    const became = fates.get(requestId) ?? [];
    const [fate] = became;
    court.expect(
      'D2',
      became.length === 1 && fate?.known.evidence.conversationId === conversationId,
      () => ({
        what: `${whose} ran as request ${requestId} in ${conversationId}, which has ${became.length} receipts${fate === undefined ? '' : `, in ${became.map(({ known }) => known.evidence.conversationId).join(', ')}`}`,
        ...place(),
      }),
    );
    if (fate !== undefined) {
      const content = contentTaken(fate.known, requestId, fate.receipt);
      court.expect('D2', content === null || content === fire.definition.content, () => ({
        what: `${whose} ran as request ${requestId} with another content than rule ${fire.rule} has: ${JSON.stringify(content?.slice(0, 80))}`,
        ...place(),
      }));
    }
    checkAnnouncement(court, { fire, whose, place, fate, told: announced.get(requestId) ?? [] });
  }
  checkNobodyElse(court, { all, byRequest, announced, evidence });
}

type Announcement = { known: Known; event: Extract<Event, { type: 'trigger.fired' }> };

function announcementsOf(all: readonly Known[]): Map<string, Announcement[]> {
  const found = new Map<string, Announcement[]>();
  for (const known of all)
    for (const event of known.events) {
      if (event.type !== 'trigger.fired') continue;
      const key = event.requestId ?? '';
      found.set(key, [...(found.get(key) ?? []), { known, event }]);
    }
  return found;
}

function checkAnnouncement(
  court: Court,
  given: {
    fire: Fire;
    whose: string;
    place: () => Place;
    fate: Fate | undefined;
    told: readonly Announcement[];
  },
): void {
  const { fire, whose, place, fate, told } = given;
  const [first] = told;
  court.expect(
    'D2',
    told.length === 1 && first?.known.evidence.conversationId === fire.conversationId,
    () => ({
      what: `${whose} ran, and ${fire.conversationId} was told so ${told.length} times`,
      ...place(),
    }),
  );
  if (first === undefined) return;
  const { triggerId, title, dueAt, outcome } = first.event.payload;
  const differs = firstDifference(
    { triggerId, title, dueAt, outcome },
    {
      triggerId: fire.triggerId,
      title: fire.definition.title,
      dueAt: fire.dueAt,
      outcome: fire.outcome,
    },
  );
  court.expect('D2', differs === null, () => ({
    what: `${whose} is told otherwise in its conversation: ${differs}`,
    ...place(),
  }));
  const itself = first.known.events.find(
    ({ type, requestId }) => requestId === fire.requestId && type !== 'trigger.fired',
  );
  court.expect(
    'D2',
    fate === undefined || itself === undefined || first.event.seq < itself.seq,
    () => ({
      what: `${whose} was told of in its conversation (${first.event.seq}) after its message was (${itself?.seq})`,
      ...place(),
    }),
  );
}

/** What no ledger knows of, no trigger has sent. */
function checkNobodyElse(
  court: Court,
  given: {
    all: readonly Known[];
    byRequest: ReadonlyMap<string, unknown>;
    announced: ReadonlyMap<string, readonly Announcement[]>;
    evidence: Evidence;
  },
): void {
  const { all, byRequest, announced, evidence } = given;
  for (const [requestId, [first]] of announced)
    court.expect('D2', byRequest.has(requestId), () => ({
      what: `a trigger has sent request ${requestId}, and no ledger has it`,
      conversationId: first?.known.evidence.conversationId ?? '',
      excerpt: [JSON.stringify(first?.event)],
    }));
  const asked = new Set(evidence.commands.map(({ requestId }) => requestId));
  for (const known of all) {
    // Who has sent the mail of a mailbox is another rule's to say (M1).
    const mail = new Set(
      [...readMailbox(known).rows.values()].flatMap(({ requestIds }) => requestIds),
    );
    for (const [requestId, [receipt]] of receiptsOf(known))
      court.expect('D2', asked.has(requestId) || mail.has(requestId), () => ({
        what: `request ${requestId} was sent by no client and by no trigger`,
        conversationId: known.evidence.conversationId,
        excerpt: excerpt(known.evidence.log, [receipt?.seq ?? 0]),
      }));
  }
}

/** A row as the ledger has it, when its conversation has said what became of it. */
function rowOf(fire: Fire, fates: ReadonlyMap<string, readonly Fate[]>): Partial<LedgerRowValue> {
  const { triggerId, dueAt, decidedAt, rule, cause, requestId, conversationId } = fire;
  const receipt = fates.get(requestId ?? '')?.[0]?.receipt;
  const told =
    receipt?.status !== 'rejected'
      ? { outcome: fire.outcome, reason: fire.reason }
      : receipt.code === 'busy'
        ? { outcome: 'skipped' as const, reason: 'busy' }
        : { outcome: 'rejected' as const, reason: receipt.code };
  return withoutUndefined({
    triggerId,
    dueAt,
    decidedAt,
    rule,
    cause,
    requestId,
    conversationId,
    ...told,
    turnId: receipt?.turnId ?? undefined,
  });
}

function withoutUndefined(row: object): object {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined));
}

/** Of a run by hand each is a row of its own; of a due time there is one. */
const keyOf = ({ cause, dueAt, requestId }: Partial<LedgerRowValue>): string =>
  cause === 'manual' ? `manual ${dueAt} ${requestId}` : (dueAt ?? '');

/** The whole ledger, as it is at the end. */
export function checkLedger(
  court: Court,
  { evidence, fires, stream, rules, isRemoved }: Trigger,
  fates: ReadonlyMap<string, readonly Fate[]>,
): void {
  const { triggerId, ledger, counts, view } = evidence;
  const wanted = new Map<string, Partial<LedgerRowValue>>();
  const seqs = new Map<string, number>();
  for (const fire of fires) {
    const row = rowOf(fire, fates);
    wanted.set(keyOf(row), row);
    seqs.set(keyOf(row), fire.seq);
  }
  const read = new Map(ledger.map((row) => [keyOf(row), row]));
  const expect = (holds: boolean, seq: number, what: () => string): void =>
    court.expect('D1', holds, () => ({
      what: `trigger ${triggerId}: ${what()}`,
      ...stream.at([seq]),
    }));
  expect(
    ledger.length === read.size,
    0,
    () => `its ledger has ${ledger.length} rows of ${read.size} due times`,
  );
  for (const key of new Set([...wanted.keys(), ...read.keys()])) {
    const row = wanted.get(key);
    const got = read.get(key);
    const differs = firstDifference(got === undefined ? undefined : plain(got), row);
    expect(differs === null, seqs.get(key) ?? 0, () =>
      got === undefined
        ? `${key} is decided, and not in the ledger`
        : row === undefined
          ? `${key} is in the ledger, and was not decided`
          : `the ledger says otherwise of ${key} than the logs: ${differs}`,
    );
  }
  isNewestFirst(ledger, (holds, what) => expect(holds, 0, what));
  const counted: LedgerCountsValue = { fired: 0, late: 0, 'caught-up': 0, skipped: 0, rejected: 0 };
  for (const { outcome } of wanted.values()) if (outcome !== undefined) counted[outcome] += 1;
  const miscounted = firstDifference(counts, counted);
  expect(miscounted === null, 0, () => `its counts are wrong: ${miscounted}`);
  expect(
    (view === null) === isRemoved,
    0,
    () => `it is ${isRemoved ? '' : 'not '}removed, and is ${view === null ? 'not ' : ''}there`,
  );
  if (view === null) return;
  const rule = rules.at(-1);
  const definition = rule?.definition ?? {};
  const isTrouble = ({ outcome, reason }: LedgerRowValue): boolean =>
    outcome === 'late' || outcome === 'rejected' || (outcome === 'skipped' && reason !== 'paused');
  const shown = firstDifference(
    {
      ...Object.fromEntries(Object.entries(view).filter(([name]) => name in definition)),
      rule: view.rule,
      counts: view.counts,
      last: view.last,
      trouble: view.trouble,
    },
    {
      ...definition,
      rule: rule?.name,
      counts: counted,
      last: ledger[0] ?? null,
      trouble: ledger.find((row) => isTrouble(row)) ?? null,
    },
  );
  expect(shown === null, 0, () => `it is shown otherwise than it is: ${shown}`);
  expect(
    !view.paused || view.nextDueAt === null,
    0,
    () => `it is paused, and is shown as due at ${view.nextDueAt}`,
  );
}

function plain(row: LedgerRowValue): object {
  const { words: _, ...rest } = row;
  return rest;
}

function isNewestFirst(items: readonly LedgerRowValue[], expect: Expect): void {
  const unordered = items.find(({ dueAt }, index) => dueAt > (items[index - 1]?.dueAt ?? dueAt));
  expect(unordered === undefined, () => `the ledger has ${unordered?.dueAt} after an older one`);
}

/** What a client read while things went on. */
export function checkReading(
  court: Court,
  { evidence, fires, stream }: Trigger,
  { sentAtMs, outcome, items, whole }: LedgerReading,
  fates: ReadonlyMap<string, readonly Fate[]>,
): void {
  const { triggerId } = evidence;
  const expect = (holds: boolean, what: () => string): void =>
    court.expect('D1', holds, () => ({
      what: `trigger ${triggerId}: read at ${stamp(sentAtMs)}, ${what()}`,
      ...stream.at([]),
    }));
  isNewestFirst(items, expect);
  const read = new Set(items.map((row) => keyOf(row)));
  expect(
    read.size === items.length,
    () => `the ledger gave ${items.length} rows of ${read.size} due times`,
  );
  const versions = Map.groupBy(fires, (fire) => keyOf(fire));
  for (const row of items) {
    expect(
      outcome === null || row.outcome === outcome,
      () => `the row of ${row.dueAt} is ${row.outcome}, and ${outcome} was asked for`,
    );
    expect(
      (versions.get(keyOf(row)) ?? []).some((fire) => couldRead(row, rowOf(fire, fates), fire)),
      () => `the ledger gave a row of ${row.dueAt} that was never there: ${JSON.stringify(row)}`,
    );
  }
  if (outcome !== null) return;
  const lastMs = whole ? -Infinity : Date.parse(items.at(-1)?.dueAt ?? '9999-01-01T00:00:00Z');
  for (const fire of fires)
    if (fire.recordedMs < sentAtMs - CLOCK_SLACK_MS && fire.dueMs > lastMs)
      expect(read.has(keyOf(fire)), () => `the ledger left out the row of ${fire.dueAt}`);
}

/** As it was decided, or as its conversation has answered. */
function couldRead(row: LedgerRowValue, answered: Partial<LedgerRowValue>, fire: Fire): boolean {
  const { turnId: _, ...before } = {
    ...answered,
    ...withoutUndefined({ outcome: fire.outcome, reason: fire.reason }),
  } as Partial<LedgerRowValue>;
  const decided = fire.reason === undefined ? withoutReason(before) : before;
  return [answered, decided].some((version) => firstDifference(plain(row), version) === null);
}

function withoutReason(row: Partial<LedgerRowValue>): Partial<LedgerRowValue> {
  const { reason: _, ...rest } = row;
  return rest;
}
