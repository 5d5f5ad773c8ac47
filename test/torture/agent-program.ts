/** Random lives of teams, from a seed: what their clients do, and what agents are told to do. Endless; the run ends them. */
import type { Random } from './random.ts';

/** How deep nested tasks go below the one that is asked for. */
const NESTED = 2;
/** Of an agent's children that its own script makes. */
const MOST_NESTED_CHILDREN = 2;

export type AgentAction =
  /** To the root or, now and then, to another member: a script of its own. */
  | { do: 'send'; toRoot: boolean }
  /** `copies`: so many times more, at once. `idle`: without a task. */
  | { do: 'spawn'; copies: number; idle: boolean }
  | { do: 'mail'; copies: number; whenBusy: 'queue' | 'steer'; expiresInMs: number | null }
  /** Something that was asked for once more, under the same id. */
  | { do: 'repeat'; otherContent: boolean }
  | { do: 'bad'; what: 'unknown' | 'itself' | 'foreign' | 'no-parent' | 'called-root' | 'resend' }
  /** A chain of idle agents, as deep as may be, and one more. */
  | { do: 'deep' }
  | { do: 'cascade' }
  | { do: 'cancel'; hold: boolean }
  | { do: 'retry' }
  | { do: 'remove' }
  | { do: 'hold' }
  | { do: 'resend' }
  | { do: 'read' }
  | { do: 'join'; forMs: number }
  | { do: 'wait'; ms: number };

const WEIGHTS = {
  send: 9,
  spawn: 13,
  mail: 22,
  repeat: 6,
  bad: 5,
  deep: 0.6,
  cascade: 3,
  cancel: 4,
  retry: 6,
  remove: 4,
  hold: 2.5,
  resend: 5,
  read: 4,
  join: 2,
  wait: 26,
} as const;

export function nextAgentAction(random: Random): AgentAction {
  const kind = random.weighted(WEIGHTS);
  switch (kind) {
    case 'send':
      return { do: kind, toRoot: random.chance(0.7) };
    case 'spawn':
      return {
        do: kind,
        copies: random.chance(0.25) ? random.between(1, 3) : 0,
        idle: random.chance(0.15),
      };
    case 'mail':
      return {
        do: kind,
        copies: random.chance(0.2) ? random.between(1, 3) : 0,
        whenBusy: random.chance(0.25) ? 'steer' : 'queue',
        expiresInMs: random.chance(0.2) ? 1_000 : null,
      };
    case 'repeat':
      return { do: kind, otherContent: random.chance(0.4) };
    case 'bad':
      return {
        do: kind,
        what: random.pick([
          'unknown',
          'itself',
          'foreign',
          'no-parent',
          'called-root',
          'resend',
        ] as const),
      };
    case 'cancel':
      return { do: kind, hold: random.chance(0.4) };
    case 'join':
      return { do: kind, forMs: random.between(500, 8_000) };
    case 'wait':
      return { do: kind, ms: random.between(100, 1_500) };
    case 'deep':
    case 'cascade':
    case 'retry':
    case 'remove':
    case 'hold':
    case 'resend':
    case 'read':
      return { do: kind };
  }
}

/**
 * A script of at most some two seconds, unless it hangs. It makes agents while `takeName` gives names (null: there are enough), and
 * writes to members and, now and then, to nobody. Its last line makes it different from every other.
 */
export function agentScript(
  random: Random,
  given: {
    mark: string;
    /** AgentIds that it may write to. */
    members: readonly string[];
    takeName: () => string | null;
    nested?: number;
  },
): string {
  const { mark, members, takeName, nested = NESTED } = given;
  const lines = ['#script'];
  const made: string[] = [];
  const steps = random.between(1, 4);
  for (let index = 0; index < steps; index += 1) {
    const kind = random.weighted({
      words: 26,
      spawn: nested > 0 && made.length < MOST_NESTED_CHILDREN ? 30 : 0,
      tell: 24,
      inbox: 4,
      team: 4,
      tool: 7,
      think: 3,
      ask: 3,
      sleep: 4,
      usage: 4,
    });
    switch (kind) {
      case 'spawn': {
        const name = takeName();
        if (name === null) break;
        made.push(name);
        const task = agentScript(random, {
          ...given,
          members: [...members, name],
          mark: `${mark} ${name}`,
          nested: nested - 1,
        });
        lines.push(`spawn ${name} ${JSON.stringify(task)}`);
        break;
      }
      case 'tell': {
        const to = random.chance(0.08) ? 'nobody' : random.pick([...members, ...made]);
        lines.push(`tell ${to} ${JSON.stringify(`Step ${index} of ${mark} for ${to}.`)}`);
        break;
      }
      case 'words':
        lines.push(`words ${random.between(1, 40)} every ${random.between(0, 12)}`);
        break;
      case 'tool':
        lines.push(`tool build for ${random.between(0, 400)} prints 2`);
        break;
      case 'think':
        lines.push(`think ${random.between(1, 9)} every 5`);
        break;
      case 'ask':
        lines.push('ask deploy');
        break;
      case 'sleep':
        lines.push(`sleep ${random.between(1, 500)}`);
        break;
      case 'usage':
        lines.push('usage 3 4 0.01');
        break;
      case 'inbox':
      case 'team':
        lines.push(kind);
    }
  }
  const end = random.weighted({ none: 80, hang: 9, fail: 6, exit: 3, child: 2 });
  if (end === 'fail') lines.push('fail as it was told');
  else if (end === 'exit') lines.push('exit 1');
  else if (end !== 'none') lines.push(end);
  // Ended by a stop: no content is the beginning of another.
  lines.push(`# ${mark}.`);
  return lines.join('\n');
}
