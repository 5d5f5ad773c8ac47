/**
 * Tables as a whole: the real Workflows over thousands of lives, in which people send, stop, move and start anew, words come
 * late or never, and everything dies now and then.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { type Act, World } from './table-world.ts';

vi.mock('@temporalio/workflow', () => import('./simulated-temporal.ts'));

beforeAll(() => void vi.useFakeTimers({ toFake: ['Date'] }));
afterAll(() => void vi.useRealTimers());

const whom = fc.oneof(
  fc.nat(3),
  fc.constantFrom('running' as const, 'running' as const, 'active' as const),
);
const whenBusy = fc.constantFrom(
  'queue' as const,
  'queue' as const,
  'queue' as const,
  'interrupt' as const,
  'reject' as const,
  'steer' as const,
);

const kinds = {
  send: fc.record({ type: fc.constant('send' as const), who: whom, whenBusy }),
  steer: fc.record({
    type: fc.constant('send' as const),
    who: fc.constant('running' as const),
    whenBusy: fc.constant('steer' as const),
  }),
  again: fc.record({
    type: fc.constant('send' as const),
    who: whom,
    whenBusy,
    again: fc.constant(true),
  }),
  cancel: fc.record({ type: fc.constant('cancel' as const), who: whom, holdQueue: fc.boolean() }),
  newChat: fc.constant({ type: 'newChat' as const }),
  activate: fc.record({
    type: fc.constant('activate' as const),
    who: whom,
    whenBusy: fc.constantFrom('queue' as const, 'reject' as const, 'interrupt' as const),
  }),
  row: fc.record({
    type: fc.constantFrom('promote' as const, 'remove' as const, 'edit' as const),
    who: whom,
    which: fc.nat(3),
  }),
  move: fc.record({
    type: fc.constant('move' as const),
    who: whom,
    which: fc.nat(3),
    position: fc.nat(3),
  }),
  hold: fc.record({ type: fc.constant('hold' as const), who: whom, held: fc.boolean() }),
  retry: fc.record({ type: fc.constant('retry' as const), who: whom }),
  plain: fc.record({
    type: fc.constant('send' as const),
    who: fc.nat(2),
    whenBusy: fc.constant('queue' as const),
  }),
  goTo: fc.record({
    type: fc.constant('activate' as const),
    who: fc.nat(3),
    whenBusy: fc.constant('queue' as const),
  }),
  end: fc.constant({ type: 'end' as const }),
  crash: fc.constant({ type: 'crash' as const }),
  loseWords: fc.constant({ type: 'loseWords' as const }),
  loseTemporal: fc.constant({ type: 'loseTemporal' as const }),
  look: fc.constant({ type: 'look' as const }),
};

const anyAct: fc.Arbitrary<Act> = fc.oneof(
  { weight: 12, arbitrary: kinds.send },
  { weight: 2, arbitrary: kinds.steer },
  { weight: 1, arbitrary: kinds.again },
  { weight: 2, arbitrary: kinds.cancel },
  { weight: 2, arbitrary: kinds.newChat },
  { weight: 2, arbitrary: kinds.activate },
  { weight: 4, arbitrary: kinds.row },
  { weight: 1, arbitrary: kinds.move },
  { weight: 2, arbitrary: kinds.hold },
  { weight: 1, arbitrary: kinds.retry },
  { weight: 6, arbitrary: kinds.end },
  { weight: 1, arbitrary: kinds.crash },
  { weight: 1, arbitrary: kinds.loseWords },
  { weight: 1, arbitrary: kinds.loseTemporal },
  { weight: 1, arbitrary: kinds.look },
);
/** How much happens before the next act: nothing, a piece of what follows from it, most of that, or all. */
const pause = fc.oneof(
  fc.constant(0),
  fc.integer({ min: 1, max: 12 }),
  fc.integer({ min: 12, max: 60 }),
  fc.constant(150),
);

const life = fc.record({
  seed: fc.integer(),
  wild: fc.boolean(),
  crashes: fc.constantFrom(0, 0.02, 0.1),
  acts: fc.array(fc.tuple(anyAct, pause), { minLength: 1, maxLength: 25, size: 'max' }),
});
type Life = { seed: number; wild: boolean; crashes: number; acts: [Act, number][] };

/** What is wrong with a world in which nothing happens any more. */
function wrongs(world: World): string[] {
  const found = [...world.violations];
  const { store } = world;
  for (const [id, { state, queue, held }] of store.conversations) {
    if (state !== 'idle') found.push(`${id} is ${state}`);
    if (queue.length > 0 && !held) found.push(`W1: ${queue.length} wait in ${id}`);
    if (queue.some(({ position }, index) => position !== index)) found.push(`${id}: positions`);
    const log = world.logOf(id);
    for (const { requestId } of queue) {
      const since =
        log.findLast((event) => event.type === 'chat.queued' && event.requestId === requestId)
          ?.seq ?? 0;
      const wasHeld = log.some(
        (event) =>
          event.type === 'queue.changed' &&
          event.seq > since &&
          event.payload.held === true &&
          event.payload.queue.some((item) => item.requestId === requestId),
      );
      if (!wasHeld) found.push(`W1: ${requestId} stays in ${id}, and was never held`);
    }
  }
  for (const [requestId, { conversationId }] of world.sent) {
    const row = store.requests.find((each) => each.requestId === requestId);
    if (row === undefined) {
      found.push(`A1: ${requestId} has no receipt`);
      continue;
    }
    const log = world.logOf(conversationId).filter((event) => event.requestId === requestId);
    const count = (type: string) => log.filter((event) => event.type === type).length;
    const receipts = log.filter(({ type }) => ['chat.queued', 'chat.rejected'].includes(type));
    const attempts = store.attempts.filter((each) => each.requestId === requestId);
    const removed = log.filter(
      ({ type, attempt }) => type === 'chat.cancelled' && attempt === undefined,
    );
    const waits = world.queueOf(conversationId).some((item) => item.requestId === requestId);
    const fates = attempts.length + count('chat.steered') + removed.length + (waits ? 1 : 0);
    if (receipts.length + (row.status === 'started' ? 1 : 0) !== 1)
      found.push(`A1: ${requestId} has ${receipts.length} receipts`);
    if (fates !== (row.status === 'rejected' ? 0 : 1))
      found.push(`A1: ${requestId} (${row.status}) came to ${fates} ends`);
    if (count('message.created') > 1) found.push(`A1: ${requestId} was said twice`);
  }
  const started = store.attempts.map(({ turnId, attempt }) => `${turnId}.${attempt}`);
  if (new Set(started).size !== started.length) found.push('an attempt was started twice');
  return found;
}

async function live({ acts, ...parts }: Life): Promise<World> {
  const world = new World(parts);
  await world.begin(3);
  for (const [act, steps] of acts) {
    await world.act(act);
    await world.goOn(steps);
  }
  await world.drain();
  return world;
}

/**
 * `SIMULATED_LIVES=40000 npx vitest run --project fast test/domain/table-sequences.test.ts` for a long look. Under Stryker few:
 * the domain's other tests come first there.
 */
const usually = process.env['STRYKER_MUTATOR_WORKER'] === undefined ? 1_500 : 20;
const lives = Number(process.env['SIMULATED_LIVES'] ?? usually);
const fewerLives = Math.ceil(lives / 10);
const WHAT_HAPPENS = [
  'recorded',
  'recorded-others-wait',
  'ended',
  'known',
  'behind',
  'occupied-running',
  'occupied-elsewhere',
  'occupied-waiting',
]
  .map((answer) => `recordDecision ${answer}`)
  .concat(['takenBySteering', 'lookUpTurn', 'tellTable', 'decideTable', 'tellConversations']);
/** For a long look; as many lives as are usual take seconds. */
const TIME_LIMIT_MS = 1_800_000;

describe('tables, simulated', () => {
  test(
    'A1, S1, W1, T3: whatever happens, what was accepted runs once and ends once, and everything comes to rest',
    async () => {
      const happened = new Map<string, number>();
      await fc.assert(
        fc.asyncProperty(life, async (given) => {
          const world = await live(given);
          for (const [what, times] of world.happened)
            happened.set(what, (happened.get(what) ?? 0) + times);
          expect(wrongs(world)).toEqual([]);
        }),
        { numRuns: lives },
      );
      // Lives in which none of this happens would prove nothing.
      const missing = WHAT_HAPPENS.filter((what) => lives >= 1_000 && !happened.has(what));
      expect(missing).toEqual([]);
    },
    TIME_LIMIT_MS,
  );

  test(
    'S2: plain messages of all conversations of a table start in the order in which they came',
    async () => {
      const plain = fc.record({
        seed: fc.integer(),
        crashes: fc.constantFrom(0, 0.05),
        acts: fc.array(fc.oneof(kinds.plain, kinds.plain, kinds.end), {
          minLength: 2,
          maxLength: 25,
          size: 'max',
        }),
      });
      await fc.assert(
        fc.asyncProperty(plain, async ({ acts, ...parts }) => {
          const world = new World({ ...parts, wild: false });
          await world.begin(3);
          for (const each of [...acts, ...acts.map(() => ({ type: 'end' as const }))]) {
            await world.act(each);
            await world.rest();
          }
          expect(wrongs(world)).toEqual([]);
          expect(world.store.attempts.map(({ requestId }) => requestId)).toEqual([
            ...world.sent.keys(),
          ]);
        }),
        { numRuns: fewerLives },
      );
    },
    TIME_LIMIT_MS,
  );

  test(
    'S2: whoever sends again and again as soon as a turn ends does not keep others from theirs',
    async () => {
      const pingPong = fc.record({
        seed: fc.integer(),
        gaps: fc.array(fc.tuple(fc.nat(12), fc.nat(60)), { minLength: 6, maxLength: 6 }),
      });
      await fc.assert(
        fc.asyncProperty(pingPong, async ({ gaps, ...parts }) => {
          const world = new World({ ...parts, crashes: 0, wild: false });
          await world.begin(3);
          const send = (who: number) => world.act({ type: 'send', who, whenBusy: 'queue' });
          await send(0);
          await world.rest();
          await send(1);
          await world.rest();
          for (const [afterEnd, afterSend] of gaps) {
            await world.act({ type: 'end' });
            await world.goOn(afterEnd);
            await send(0);
            await world.goOn(afterSend);
          }
          await world.drain();
          const turns = world.store.attempts.map(({ conversationId }) => conversationId);
          expect(turns.slice(0, 2)).toEqual(['c1', 'c2']);
        }),
        { numRuns: fewerLives },
      );
    },
    TIME_LIMIT_MS,
  );

  test(
    'S2: however they race, plain messages of one conversation start in the order in which they came',
    async () => {
      const racing = fc.record({
        seed: fc.integer(),
        wild: fc.boolean(),
        crashes: fc.constantFrom(0, 0.05),
        acts: fc.array(fc.tuple(fc.oneof(kinds.plain, kinds.plain, kinds.end, kinds.goTo), pause), {
          minLength: 2,
          maxLength: 20,
          size: 'max',
        }),
      });
      await fc.assert(
        fc.asyncProperty(racing, async ({ acts, ...parts }) => {
          const world = new World(parts);
          await world.begin(3);
          for (const [each, count] of acts) {
            await world.act(each);
            await world.goOn(count);
          }
          await world.drain();
          expect(wrongs(world)).toEqual([]);
          for (const id of world.conversations) {
            const came = [...world.sent].filter(([, { conversationId }]) => conversationId === id);
            const started = world.store.attempts.filter(
              ({ conversationId }) => conversationId === id,
            );
            expect(started.map(({ requestId }) => requestId)).toEqual(
              came.map(([requestId]) => requestId),
            );
          }
        }),
        { numRuns: fewerLives },
      );
    },
    TIME_LIMIT_MS,
  );

  test(
    'S2: who gives way is not given the slot back for what it is sent at that moment',
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.integer(), fc.nat(8), async (seed, between) => {
          const world = new World({ seed, crashes: 0, wild: false });
          await world.begin(2);
          for (const who of [0, 1, 0]) {
            await world.act({ type: 'send', who, whenBusy: 'queue' });
            await world.rest();
          }
          await world.act({ type: 'end' });
          await world.goOn(between);
          await world.act({ type: 'send', who: 0, whenBusy: 'queue' });
          await world.drain();
          const turns = world.store.attempts.map(({ conversationId }) => conversationId);
          expect(turns).toEqual(['c1', 'c2', 'c1', 'c1']);
        }),
        { numRuns: fewerLives },
      );
    },
    TIME_LIMIT_MS,
  );

  test(
    'New chat: it is active at once, and neither what ran nor what waited where the person was takes the slot back',
    async () => {
      const before = fc.record({
        seed: fc.integer(),
        crashes: fc.constantFrom(0, 0.1, 0.3),
        acts: fc.array(fc.oneof(kinds.plain, kinds.plain, kinds.newChat, kinds.goTo), {
          minLength: 1,
          maxLength: 8,
          size: 'max',
        }),
      });
      await fc.assert(
        fc.asyncProperty(before, async ({ acts, ...parts }) => {
          const world = new World({ ...parts, wild: false });
          await world.begin(2);
          for (const each of acts) {
            await world.act(each);
            await world.rest();
          }
          const { running, activeConversationId, waiting } = await world.facts();
          const left = new Set([running?.conversationId, activeConversationId]);
          const stay = [...left].flatMap((id) => (id == null ? [] : world.queueOf(id)));
          const others = waiting.filter(({ conversationId }) => !left.has(conversationId));
          await world.act({ type: 'newChat' });
          await world.rest();
          expect((await world.facts()).activeConversationId).toBe(world.conversations.at(-1));
          await world.drain();
          expect(wrongs(world)).toEqual([]);
          const started = new Set(world.store.attempts.map(({ requestId }) => requestId));
          expect(stay.filter(({ requestId }) => started.has(requestId))).toEqual([]);
          expect(stay.map(({ requestId }) => requestId).toSorted()).toEqual(
            [...left]
              .flatMap((id) => (id == null ? [] : world.queueOf(id)))
              .map(({ requestId }) => requestId)
              .toSorted(),
          );
          // Somebody else who waits may have had his turn since.
          const allowed = [
            world.conversations.at(-1),
            ...others.map((each) => each.conversationId),
          ];
          expect(allowed).toContain((await world.facts()).activeConversationId);
        }),
        { numRuns: fewerLives },
      );
    },
    TIME_LIMIT_MS,
  );

  test(
    'interrupt, promote: it is the next to start, wherever it is sent and whoever has waited longer; nothing that waits is lost',
    async () => {
      const before = fc.record({
        seed: fc.integer(),
        crashes: fc.constantFrom(0, 0.1, 0.3),
        acts: fc.array(fc.oneof(kinds.plain, kinds.plain, kinds.plain, kinds.newChat, kinds.goTo), {
          minLength: 1,
          maxLength: 8,
          size: 'max',
        }),
        last: fc.oneof(
          fc.record({
            type: fc.constant('send' as const),
            who: fc.nat(3),
            whenBusy: fc.constant('interrupt' as const),
          }),
          fc.record({ type: fc.constant('promote' as const), who: fc.nat(3), which: fc.nat(3) }),
        ),
      });
      await fc.assert(
        fc.asyncProperty(before, async ({ acts, last, ...parts }) => {
          const world = new World({ ...parts, wild: false });
          await world.begin(3);
          for (const each of acts) {
            await world.act(each);
            await world.rest();
          }
          const { attempts } = world.store;
          const started = attempts.length;
          const waited = world.conversations.flatMap((id) => world.queueOf(id));
          const running = attempts.find(({ outcome }) => outcome === null);
          const meant = await world.act(last);
          fc.pre(meant !== undefined);
          await world.rest();
          expect(running === undefined || running.cancelBy !== null).toBe(true);
          await world.drain();
          expect(attempts[started]?.requestId).toBe(meant);
          expect(wrongs(world)).toEqual([]);
          const known = new Set(
            [...attempts, ...world.conversations.flatMap((id) => world.queueOf(id))].map(
              ({ requestId }) => requestId,
            ),
          );
          expect(waited.filter(({ requestId }) => !known.has(requestId))).toEqual([]);
        }),
        { numRuns: fewerLives },
      );
    },
    TIME_LIMIT_MS,
  );

  test(
    'a held queue stays until it is released, and a message that comes later goes by',
    async () => {
      const before = fc.record({
        seed: fc.integer(),
        crashes: fc.constantFrom(0, 0.05),
        waiting: fc.integer({ min: 1, max: 3 }),
        by: fc.constantFrom('cancel' as const, 'hold' as const),
        /** The turn has ended, and its conversation may not have heard of it. */
        ended: fc.boolean(),
        /** How much has happened since when the next message comes: the turn may be winding down, or be over. */
        steps: fc.option(fc.nat(60)),
        elsewhere: fc.boolean(),
      });
      await fc.assert(
        fc.asyncProperty(before, async ({ waiting, by, ended, steps, elsewhere, ...parts }) => {
          const world = new World({ ...parts, wild: false });
          await world.begin(2);
          const send = (who: number) => world.act({ type: 'send', who, whenBusy: 'queue' });
          for (let n = 0; n <= waiting; n += 1) {
            await send(0);
            await world.rest();
          }
          const rows = world.queueOf('c1').map(({ requestId }) => requestId);
          expect(rows).toHaveLength(waiting);
          if (ended) await world.act({ type: 'end' });
          if (by === 'cancel') await world.act({ type: 'cancel', who: 0, holdQueue: true });
          else await world.act({ type: 'hold', who: 0, held: true });
          await world.rest();
          if (elsewhere) {
            await world.act({ type: 'activate', who: 1, whenBusy: 'queue' });
            await world.rest();
          }
          if (steps === null) await world.drain();
          const last = await send(0);
          await world.goOn(steps ?? 0);
          await world.drain();
          expect(world.queueOf('c1').map(({ requestId }) => requestId)).toEqual(rows);
          expect(world.store.attempts.at(-1)?.requestId).toBe(last);
          await world.act({ type: 'hold', who: 0, held: false });
          await world.drain();
          expect(world.store.attempts.slice(-waiting).map(({ requestId }) => requestId)).toEqual(
            rows,
          );
          expect(wrongs(world)).toEqual([]);
        }),
        { numRuns: fewerLives },
      );
    },
    TIME_LIMIT_MS,
  );
});
