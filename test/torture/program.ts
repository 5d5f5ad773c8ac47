/** Random conversation programs: what the clients of one conversation do, from a seed. Endless; the run ends them. */
import type { WhenBusyName } from '../../src/contracts/signals.ts';
import type { Random } from './random.ts';
import { expectationOf, LEFT_ALONE, randomScript } from './script.ts';

export type Way = 'socket' | 'http';

export type Action =
  /** `copies`: the same request so many times more, at once. `waitForEnd`: by HTTP, held until the turn's end. */
  | {
      do: 'send';
      content: string;
      whenBusy: WhenBusyName;
      way: Way;
      copies: number;
      waitForEnd: boolean;
    }
  /** An earlier requestId once more, with its own content or with other content. */
  | { do: 'repeat'; otherContent: boolean; way: Way }
  | { do: 'cancel'; named: boolean; twice: boolean; way: Way }
  | { do: 'retry'; way: Way }
  /** The main client loses its connection; it comes back with its lastSeq, or as a new device without one. */
  | { do: 'reconnect'; pauseMs: number; forgetful: boolean }
  /** Another device joins in the middle, and goes again. */
  | { do: 'join'; forMs: number }
  | { do: 'stream'; forMs: number; fromStart: boolean }
  | { do: 'snapshot' }
  | { do: 'pause'; ms: number }
  | { do: 'until-idle'; atMostMs: number };

/** Of the hanging turns, those that the silence clock has to end. */
const LEFT_ALONE_SHARE = 0.5;

/** The actions of one conversation. `sequence` makes each prompt of it different from every other. */
export function* programOf(random: Random): Generator<Action, never> {
  for (let sequence = 1; ; sequence += 1) yield next(random, sequence);
}

function next(random: Random, sequence: number): Action {
  const way = random.pick<Way>(['socket', 'socket', 'http']);
  const kind = random.weighted({
    send: 30,
    repeat: 8,
    cancel: 9,
    retry: 7,
    reconnect: 8,
    join: 5,
    stream: 5,
    snapshot: 5,
    pause: 10,
    'until-idle': 22,
  });
  switch (kind) {
    case 'send': {
      const script = randomScript(random);
      const alone = expectationOf(script).end === 'never' && random.chance(LEFT_ALONE_SHARE);
      return {
        do: kind,
        content: `${script}\n# ${sequence}${alone ? LEFT_ALONE : ''}`,
        whenBusy: random.weighted({ queue: 60, reject: 12, interrupt: 18, steer: 10 }),
        way,
        copies: random.chance(0.15) ? random.between(1, 4) : 0,
        waitForEnd: way === 'http' && random.chance(0.4),
      };
    }
    case 'repeat':
      return { do: kind, otherContent: random.chance(0.4), way };
    case 'cancel':
      return { do: kind, named: random.chance(0.5), twice: random.chance(0.3), way };
    case 'retry':
      return { do: kind, way };
    case 'reconnect':
      return { do: kind, pauseMs: random.between(0, 1_500), forgetful: random.chance(0.2) };
    case 'join':
      return { do: kind, forMs: random.between(100, 6_000) };
    case 'stream':
      return { do: kind, forMs: random.between(100, 6_000), fromStart: random.chance(0.5) };
    case 'snapshot':
      return { do: kind };
    case 'pause':
      return { do: kind, ms: random.between(0, 1_200) };
    case 'until-idle':
      return { do: kind, atMostMs: random.between(500, 8_000) };
  }
}
