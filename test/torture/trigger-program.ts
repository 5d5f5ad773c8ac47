/** Random lives of triggers, from a seed: what one is made as, and what its client does with it. Endless; the run ends them. */
import type { TriggerOutcomeName, TriggerScheduleValue } from '../../src/contracts/events.ts';
import type {
  CreateTriggerBodyValue,
  PatchTriggerBodyValue,
} from '../../src/contracts/triggers.ts';
import type { Random } from './random.ts';

/** Where a trigger sends: to a conversation of its own, to whichever is active in a table, or to a new one for each. */
export const GOALS = ['own', 'active', 'new'] as const;
export type Goal = (typeof GOALS)[number];

/** Where it sends is not said here. */
export type TriggerPlan = Omit<
  CreateTriggerBodyValue,
  'triggerId' | 'tableId' | 'conversationId' | 'newConversation'
>;

export type TriggerAction =
  | { do: 'change'; change: PatchTriggerBodyValue }
  | { do: 'pause'; forMs: number }
  /** `twice`: under the same requestId, at once. */
  | { do: 'fire'; twice: boolean }
  /** The due times of so many milliseconds, which began so long ago; or of before its creation. */
  | { do: 'backfill'; agoMs: number; forMs: number; beforeCreation: boolean }
  | { do: 'read'; limit: number; pages: number; outcome: TriggerOutcomeName | null }
  | { do: 'wait'; ms: number };

const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/St_Johns',
  'Asia/Kathmandu',
  'Australia/Lord_Howe',
] as const;
/** Minutes that are even are others in a zone that is 45 minutes ahead. */
const CRONS = [
  '*/2 * * * * *',
  '*/3 * * * * *',
  '1-59/3 * * * * *',
  '0,2,3,7-59/4 * * * * *',
  '*/2 0-59/2 * * * *',
] as const;
const MISSED = ['run-once', 'run-all', 'window', 'skip'] as const;
const WHEN_BUSY = ['skip', 'queue', 'interrupt'] as const;

const WEIGHTS = { change: 13, pause: 2, fire: 8, backfill: 5, read: 14, wait: 58 } as const;

/** How the n-th trigger of an actor begins: policies take turns, the rest is chance. */
export function planOf(
  random: Random,
  given: { mark: string; turn: number; nowMs: number },
): TriggerPlan {
  const { mark, turn, nowMs } = given;
  const schedule = scheduleOf(random);
  return {
    title: random.pick(['', mark]),
    content: contentOf(random, `${mark} first`),
    schedule,
    jitterMs: jitterOf(random),
    ...(random.chance(0.15) ? { startAt: stamp(nowMs + random.between(1_000, 6_000)) } : {}),
    ...(random.chance(0.15) ? { endAt: stamp(nowMs + random.between(20_000, 50_000)) } : {}),
    missed: missedOf(random, MISSED[turn % MISSED.length] ?? 'skip'),
    // Not in step with the goals, of which there are as many.
    whenBusy: WHEN_BUSY[(turn + Math.floor(turn / GOALS.length)) % WHEN_BUSY.length] ?? 'skip',
    paused: random.chance(0.05),
  };
}

/** The next thing that is done with it. `mark` makes a changed prompt different from every other. */
export function nextAction(random: Random, given: { mark: string; nowMs: number }): TriggerAction {
  const kind = random.weighted(WEIGHTS);
  switch (kind) {
    case 'change':
      return { do: kind, change: changeOf(random, given) };
    case 'pause':
      return { do: kind, forMs: random.between(1_000, 7_000) };
    case 'fire':
      return { do: kind, twice: random.chance(0.4) };
    case 'backfill':
      return {
        do: kind,
        agoMs: random.between(1_000, 40_000),
        forMs: random.between(0, 6_000),
        beforeCreation: random.chance(0.3),
      };
    case 'read':
      return {
        do: kind,
        limit: random.between(1, 30),
        pages: random.between(1, 4),
        outcome: random.chance(0.3)
          ? random.pick(['fired', 'late', 'caught-up', 'skipped', 'rejected'] as const)
          : null,
      };
    case 'wait':
      return { do: kind, ms: random.between(200, 2_500) };
  }
}

function changeOf(
  random: Random,
  { mark, nowMs }: { mark: string; nowMs: number },
): PatchTriggerBodyValue {
  const kind = random.weighted({ schedule: 34, once: 4, content: 26, missed: 18, whenBusy: 18 });
  switch (kind) {
    case 'schedule':
      return { schedule: scheduleOf(random), jitterMs: jitterOf(random) };
    case 'once':
      return {
        schedule: { at: stamp(nowMs + random.between(2_000, 5_000)), timezone: 'UTC' },
      };
    case 'content':
      return { content: contentOf(random, mark) };
    case 'missed':
      return { missed: missedOf(random, random.pick(MISSED)) };
    case 'whenBusy':
      return { whenBusy: random.pick(WHEN_BUSY) };
  }
}

function scheduleOf(random: Random): TriggerScheduleValue {
  const timezone = random.pick(ZONES);
  return random.chance(0.5)
    ? { everyMs: random.pick([1_000, 1_500, 2_000, 2_000, 3_000, 3_000]), timezone }
    : { cron: random.pick(CRONS), timezone };
}

/** Less than any interval. */
function jitterOf(random: Random): number {
  return random.chance(0.75) ? 0 : random.between(50, 900);
}

/** Small, so that what a gap leaves does not come all at once. */
function missedOf(
  random: Random,
  policy: (typeof MISSED)[number],
): NonNullable<TriggerPlan['missed']> {
  if (policy === 'run-all') return { policy, limit: random.between(1, 4) };
  if (policy === 'window') return { policy, windowMs: random.between(2_000, 12_000) };
  return { policy };
}

/**
 * A script of half a second or, now and then, of two. It neither hangs nor asks: nobody looks after a trigger's turns. Ended by
 * a stop: no content is the beginning of another.
 */
function contentOf(random: Random, mark: string): string {
  const long = random.chance(0.2) ? ['sleep 800', `words ${random.between(3, 9)} every 100`] : [];
  const more = random.weighted({
    none: 60,
    tool: 12,
    think: 10,
    usage: 8,
    fail: 4,
    exit: 3,
    child: 3,
  });
  const last = {
    none: [],
    tool: [`tool build for ${random.between(0, 200)} prints 2`],
    think: [`think ${random.between(1, 9)} every 5`],
    usage: ['usage 3 4 0.01'],
    fail: ['fail as it was told'],
    exit: ['exit 1'],
    child: ['child'],
  }[more];
  return ['#script', `words ${random.between(1, 20)} every 8`, ...long, ...last, `# ${mark}.`].join(
    '\n',
  );
}

function stamp(ms: number): string {
  return new Date(ms).toISOString();
}
