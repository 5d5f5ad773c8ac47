/**
 * Random programs: what the clients of a conversation, or of a table of conversations, do, from a seed. Endless; the run ends
 * them.
 */
import type { WhenBusyName } from '../../src/contracts/signals.ts';
import type { Random } from './random.ts';
import { expectationOf, LEFT_ALONE, randomScript } from './script.ts';

export type Way = 'socket' | 'http';

export type Action =
  /**
   * `copies`: the same request so many times more, at once. `waitForEnd`: by HTTP, held until the turn's end. `replaces`: in
   * place of an earlier message, where there is one.
   */
  | {
      do: 'send';
      content: string;
      whenBusy: WhenBusyName;
      way: Way;
      copies: number;
      waitForEnd: boolean;
      replaces: boolean;
    }
  /** An earlier requestId once more, with its own content or with other content. */
  | { do: 'repeat'; otherContent: boolean; way: Way }
  | { do: 'cancel'; named: boolean; twice: boolean; hold: boolean; way: Way }
  | { do: 'retry'; way: Way }
  /** With a queued message, or with one that waits no more (`stale`). */
  | {
      do: 'requeue';
      change: 'edit' | 'move' | 'promote' | 'remove';
      content: string;
      position: number;
      stale: boolean;
      way: Way;
    }
  /** Holds the queue or releases it, whichever it is not. */
  | { do: 'hold'; way: Way }
  | { do: 'rename' }
  | { do: 'archive' }
  | { do: 'fork'; whole: boolean }
  | { do: 'rollback'; everything: boolean }
  /** The main client loses its connection; it comes back with its lastSeq, or as a new device without one. */
  | { do: 'reconnect'; pauseMs: number; forgetful: boolean }
  /** Another device joins in the middle, and goes again. */
  | { do: 'join'; forMs: number }
  | { do: 'stream'; forMs: number; fromStart: boolean }
  | { do: 'snapshot' }
  | { do: 'pause'; ms: number }
  | { do: 'until-idle'; atMostMs: number }
  | TableAction;

/** Only of a table. */
export type TableAction =
  | { do: 'new-chat' }
  | { do: 'activate'; whenBusy: 'queue' | 'reject' | 'interrupt' }
  /** Whoever acts next acts in another conversation of the table. */
  | { do: 'switch' }
  /** Another device opens the table: by one call and two subscriptions, or by one subscription. */
  | { do: 'open-table'; oneCall: boolean; forMs: number }
  | { do: 'reconnect-table'; pauseMs: number; forgetful: boolean };

/** Of the hanging turns, those that the silence clock has to end. */
const LEFT_ALONE_SHARE = 0.5;

/** Weights of what is done in a conversation wherever it is. */
const ANYWHERE = {
  send: 30,
  repeat: 7,
  cancel: 9,
  retry: 7,
  requeue: 12,
  hold: 3,
  rename: 1.5,
  archive: 1.5,
  fork: 2,
  rollback: 3,
  reconnect: 6,
  join: 4,
  stream: 4,
  snapshot: 4,
  pause: 9,
  'until-idle': 18,
} as const;
const IN_A_TABLE = {
  'new-chat': 5,
  activate: 9,
  switch: 26,
  'open-table': 4,
  'reconnect-table': 3,
} as const;

/** The actions of one actor. `sequence` makes each prompt of it different from every other. */
export function* programOf(random: Random, place: 'alone' | 'table'): Generator<Action, never> {
  const weights: Readonly<Partial<Record<Action['do'], number>>> =
    place === 'table' ? { ...ANYWHERE, ...IN_A_TABLE } : ANYWHERE;
  for (let sequence = 1; ; sequence += 1) yield next(random, weights, sequence);
}

function next(
  random: Random,
  weights: Readonly<Partial<Record<Action['do'], number>>>,
  sequence: number,
): Action {
  const way = random.pick<Way>(['socket', 'socket', 'http']);
  const kind = random.weighted(weights);
  switch (kind) {
    case 'send':
      return {
        do: kind,
        content: promptOf(random, String(sequence)),
        whenBusy: random.weighted({ queue: 56, reject: 10, interrupt: 17, steer: 17 }),
        way,
        copies: random.chance(0.15) ? random.between(1, 4) : 0,
        waitForEnd: way === 'http' && random.chance(0.4),
        replaces: random.chance(0.1),
      };
    case 'repeat':
      return { do: kind, otherContent: random.chance(0.4), way };
    case 'cancel':
      return {
        do: kind,
        named: random.chance(0.5),
        twice: random.chance(0.3),
        hold: random.chance(0.2),
        way,
      };
    case 'requeue':
      return {
        do: kind,
        change: random.weighted({ edit: 30, move: 30, promote: 15, remove: 25 }),
        content: promptOf(random, `${sequence} edited`),
        position: random.between(0, 3),
        stale: random.chance(0.15),
        way,
      };
    case 'fork':
      return { do: kind, whole: random.chance(0.4) };
    case 'rollback':
      return { do: kind, everything: random.chance(0.15) };
    case 'activate':
      return { do: kind, whenBusy: random.weighted({ queue: 45, reject: 20, interrupt: 35 }) };
    case 'open-table':
      return { do: kind, oneCall: random.chance(0.5), forMs: random.between(100, 6_000) };
    case 'retry':
    case 'hold':
      return { do: kind, way };
    case 'reconnect':
    case 'reconnect-table':
      return { do: kind, pauseMs: random.between(0, 1_500), forgetful: random.chance(0.2) };
    case 'join':
      return { do: kind, forMs: random.between(100, 6_000) };
    case 'stream':
      return { do: kind, forMs: random.between(100, 6_000), fromStart: random.chance(0.5) };
    case 'pause':
      return { do: kind, ms: random.between(0, 1_200) };
    case 'until-idle':
      return { do: kind, atMostMs: random.between(500, 8_000) };
    case 'rename':
    case 'archive':
    case 'snapshot':
    case 'new-chat':
    case 'switch':
      return { do: kind };
  }
}

function promptOf(random: Random, mark: string): string {
  const script = randomScript(random);
  const alone = expectationOf(script).end === 'never' && random.chance(LEFT_ALONE_SHARE);
  return `${script}\n# ${mark}${alone ? LEFT_ALONE : ''}`;
}
