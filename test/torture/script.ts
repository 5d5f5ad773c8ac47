/**
 * What a script of the scripted provider must lead to, worked out from its text alone: written from protocol.md
 * section 8, and sharing no code with the provider, its driver or the engine. The checker measures logs with it.
 */
import type { Random } from './random.ts';

export type Expectation = {
  /**
   * All assistant text, in order, with a {@link GAP} for what a tool of the team answers. A `retry` takes back what it streams again,
   * so it adds nothing.
   */
  text: string;
  reasoning: string;
  /** Names of the tools, in order. */
  tools: string[];
  /** How the provider ends the turn when nothing comes in between; `never`: it does not. */
  end: 'completed' | 'failed' | 'exits' | 'never';
  /** After its cancel the ladder has to go to the end. */
  ignoresCancel: boolean;
  asks: boolean;
};

/** Stands for text that depends on what others do. In no text of a script. */
export const GAP = '\u{f0000}';

/** Whether a text is what a script must lead to; not `whole`: or a beginning of it. */
export function fitsText(got: string, wanted: string, whole: boolean): boolean {
  const [first = '', ...rest] = wanted.split(GAP);
  const last = rest.pop();
  if (last === undefined) return whole ? got === first : first.startsWith(got);
  if (!got.startsWith(first)) return !whole && first.startsWith(got);
  let end = first.length;
  for (const piece of rest) {
    const found = got.indexOf(piece, end);
    // It ends within the gap, or within the piece after it.
    if (found === -1) return !whole;
    end = found + piece.length;
  }
  return !whole || got.slice(end).endsWith(last);
}

/** Throws for a step that it does not know: a program may only use what can be checked. */
export function expectationOf(content: string): Expectation {
  const [head, ...lines] = content.split('\n');
  if (head !== '#script') throw new Error(`not a script: ${content.slice(0, 80)}`);
  const expected: Expectation = {
    text: '',
    reasoning: '',
    tools: [],
    end: 'completed',
    ignoresCancel: false,
    asks: false,
  };
  for (const line of lines) {
    // A comment: it makes two prompts of the same steps different.
    if (line.startsWith('#')) continue;
    const [step = '', first = ''] = line.split(' ');
    switch (step) {
      case 'words':
        expected.text += numbered('w', Number(first));
        break;
      case 'think':
        expected.reasoning += numbered('t', Number(first));
        break;
      case 'text':
        expected.text += JSON.parse(line.slice('text '.length)) as string;
        break;
      case 'flood':
        expected.text += floodText(Number(first));
        break;
      case 'ask':
        expected.asks = true;
        expected.tools.push(first);
        break;
      case 'tool':
        expected.tools.push(first);
        break;
      case 'ignore-cancel':
        expected.ignoresCancel = true;
        break;
      case 'hang':
        return { ...expected, end: 'never' };
      case 'fail':
        return { ...expected, end: 'failed' };
      case 'exit':
        return { ...expected, end: 'exits' };
      case '':
      case 'spawn':
      case 'tell':
        expected.tools.push(step === 'spawn' ? 'spawn_agent' : 'send_message');
        break;
      case 'inbox':
      case 'team':
        expected.tools.push(step === 'inbox' ? 'check_inbox' : 'list_team');
        expected.text += GAP;
        break;
      case 'retry':
      case 'garbage':
      case 'child':
      case 'sleep':
      case 'usage':
        break;
      default:
        throw new Error(`no expectation for the step "${line}"`);
    }
  }
  return expected;
}

/** The end of the comment in a prompt which says that nobody is to cancel its hanging turn. */
export const LEFT_ALONE = ' left alone';

/** Whether this turn is for the silence clock to end. Retried, it is cancelled; retried again, left alone again. */
export function isLeftAlone({ content, attempt }: { content: string; attempt: number }): boolean {
  const told = content
    .split('\n')
    .some((line) => line.startsWith('#') && line.endsWith(LEFT_ALONE));
  return told && attempt % 2 === 1;
}

function numbered(letter: string, count: number): string {
  return Array.from({ length: count }, (_, index) => `${letter}${index} `).join('');
}

/** Deltas of 32 characters, each an eight-digit number and a filler; the last one is cut. */
function floodText(megabytes: number): string {
  const chars = Math.round(megabytes * 1024 * 1024);
  const deltas = Math.ceil(chars / 32);
  return Array.from(
    { length: deltas },
    (_, index) => `${String(index % 1e8).padStart(8, '0')} flooding the reader now`,
  )
    .join('')
    .slice(0, chars);
}

/** A script of at most some three seconds, unless it hangs. */
export function randomScript(random: Random): string {
  const lines = ['#script'];
  if (random.chance(0.05)) lines.push('ignore-cancel');
  const steps = random.between(1, 4);
  for (let index = 0; index < steps; index += 1) lines.push(randomStep(random));
  const end = random.weighted({ none: 74, hang: 10, fail: 7, exit: 5, child: 4 });
  if (end === 'fail') lines.push('fail as it was told');
  else if (end === 'exit') lines.push(`exit ${random.between(0, 3)}`);
  else if (end !== 'none') lines.push(end);
  return lines.join('\n');
}

function randomStep(random: Random): string {
  const kind = random.weighted({
    words: 40,
    think: 8,
    text: 6,
    tool: 16,
    ask: 10,
    retry: 6,
    garbage: 3,
    flood: 2,
    sleep: 6,
    usage: 3,
  });
  switch (kind) {
    case 'words':
      return `words ${random.between(1, 80)} every ${random.between(0, 12)}`;
    case 'think':
      return `think ${random.between(1, 25)} every ${random.between(0, 10)}`;
    case 'text':
      return `text ${JSON.stringify(random.pick(['plain. ', 'Straße 東京 🙂 ', 'a\nb\t"c" ', ' \u0000 ', '\u2028x']))}`;
    case 'tool':
      return `tool ${random.pick(['build', 'test', 'grep'])} for ${random.between(0, 900)} prints ${random.between(0, 6)}`;
    case 'ask':
      return `ask ${random.pick(['deploy', 'delete'])}`;
    case 'flood':
      return `flood ${random.pick(['0.01', '0.05', '0.2'])}`;
    case 'sleep':
      return `sleep ${random.between(1, 600)}`;
    case 'usage':
      return `usage ${random.between(0, 99)} ${random.between(0, 99)} 0.01`;
    case 'retry':
    case 'garbage':
      return kind;
  }
}
