/** From a cancel to the proof that nothing of the turn runs any more: with a provider that obeys, and with one that ignores everything. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { attemptKey } from '../src/contracts/ids.ts';
import { isSameProcess, markedProcesses } from '../src/providers/process/process-table.ts';
import { type BareProgram, startBareProgram } from './bare-program.ts';
import { Client, type Frame, isEnd, isIdle } from './client.ts';
import { type Figure, inSteps, median, quantile } from './figures.ts';
import { newConversation, settled, type Stack } from './stack.ts';

const OBEYED_ROUNDS = 200;
const IGNORED_ROUNDS = 20;
const WARM_UP_ROUNDS = 10;
/** P1 of design.md section 12: later than this is never. */
const GONE_WITHIN_MS = 10_000;
/** Longer than any round: it ends by the cancel. */
const STREAM = 'words 100000 every 5';

type Running = { turnId: string; requestId: string };

/** One conversation with one warm process, cancelled again and again. The process stays, as it should: what must be over is its turn. */
export async function measureObeyedCancel(stack: Stack): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-cancel-'));
  const bare = await startBareProgram(folder);
  const client = await Client.connect(stack);
  const product: number[] = [];
  const floor: number[] = [];
  const steps = new Steps(client);
  const faults: string[] = [];
  try {
    const conversationId = await newConversation(stack);
    await client.subscribe(conversationId);
    let spool = '';
    for (let round = 0; round < OBEYED_ROUNDS + WARM_UP_ROUNDS; round += 1) {
      // The two alternate, so that both meet the same machine.
      const bareMs = await cancelBare(bare);
      const running = await begin(client, { conversationId, script: STREAM });
      spool ||= join(stack.status.home, 'spools', attemptKey(running.turnId, 1), 'out.jsonl');
      const idle = client.next((frame) => isIdle(frame, conversationId));
      const { sentAt, end } = await cancel(client, { conversationId, ...running });
      if (!hasEnded(spool, attemptKey(running.turnId, 1)))
        faults.push(`${running.turnId}: told as cancelled while its provider still runs it`);
      await idle;
      if (round < WARM_UP_ROUNDS) continue;
      floor.push(bareMs);
      product.push(end.seenAt - sentAt);
      steps.keep(sentAt);
    }
  } finally {
    client.close();
    bare.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  const row = (name: string, q: number, limitMs: number): Figure => ({
    name,
    unit: 'ms',
    product: quantile(product, q),
    floor: quantile(floor, q),
    goal: `≤ ${limitMs} ms`,
    met: quantile(product, q) <= limitMs && faults.length === 0,
  });
  return [
    {
      ...row('cancel → `chat.cancelled` at the client, its turn over, p50', 0.5, 30),
      faults,
      note: `ms from the cancel at the client, p50: ${inSteps([
        ['the cancel is recorded', steps.of('requested')],
        ['its step on the turn host is recorded', steps.of('protocol')],
        ['the end', product],
      ])}`,
    },
    row('the same, p99', 0.99, 100),
  ];
}

/** The cancel's frame on the program's stdin → its end line. */
async function cancelBare(bare: BareProgram): Promise<number> {
  const moving = bare.next('delta');
  bare.begin(`#script\n${STREAM}`);
  await moving;
  await settled();
  const ended = bare.next('end');
  const from = performance.now();
  bare.cancel();
  return (await ended) - from;
}

/** A new process each time: the ladder ends it, and the child that it left in a session of its own. */
export async function measureIgnoredCancel(
  stack: Stack,
  { clocksMs }: { clocksMs: number },
): Promise<Figure[]> {
  const client = await Client.connect(stack);
  const product: number[] = [];
  const faults: string[] = [];
  const steps = new Steps(client);
  try {
    const conversationId = await newConversation(stack);
    await client.subscribe(conversationId);
    for (let round = 0; round < IGNORED_ROUNDS; round += 1) {
      const script = `ignore-cancel\nchild\n${STREAM}`;
      const running = await begin(client, { conversationId, script });
      const mark = attemptKey(running.turnId, 1);
      const processes = markedProcesses().filter((found) => found.mark === mark);
      // The wrapper, the program, and what it left: if they are not here now, their absence later says nothing.
      if (processes.length < 3) throw new Error(`only ${processes.length} processes of the turn`);
      const idle = client.next((frame) => isIdle(frame, conversationId));
      const { sentAt, end } = await cancel(client, { conversationId, ...running });
      while (processes.some(isSameProcess) && performance.now() < end.seenAt + GONE_WITHIN_MS)
        await new Promise((resolve) => setImmediate(resolve));
      const goneAt = performance.now();
      const left = markedProcesses().filter((found) => found.mark === mark);
      if (left.length > 0) faults.push(`${mark}: ${left.length} processes outlive it`);
      await idle;
      steps.keep(sentAt);
      product.push(Math.max(end.seenAt, goneAt) - sentAt);
    }
  } finally {
    client.close();
  }
  const row = (name: string, value: number): Figure => ({
    name,
    unit: 'ms',
    product: value,
    floor: clocksMs,
    goal: `≤ 200 ms more (is ${Math.round(value - clocksMs)})`,
    met: value - clocksMs <= 200 && faults.length === 0,
  });
  return [
    {
      ...row(
        'cancel → `chat.cancelled` and no process left, provider that ignores everything, with a child in its own session, p50 (floor: the clocks)',
        median(product),
      ),
      faults,
      note: `ms from the cancel at the client, medians of ${IGNORED_ROUNDS}: ${inSteps([
        ['TERM', steps.of('terminate')],
        ['KILL', steps.of('kill')],
        ['sweep', steps.of('sweep')],
        ['told and gone', product],
      ])}`,
    },
    row('the same, slowest', Math.max(...product)),
  ];
}

/** Starts a turn; resolves when it streams and the server has finished with its beginning. */
async function begin(
  client: Client,
  { conversationId, script }: { conversationId: string; script: string },
): Promise<Running> {
  const requestId = randomUUID();
  const moving = client.next(
    (frame) => frame.type === 'chat.delta' && frame.requestId === requestId,
  );
  const content = `#script\n${script}`;
  client.send({ type: 'chat.send', conversationId, requestId, payload: { content } });
  const { turnId } = await moving;
  await settled();
  return { turnId: turnId ?? '', requestId };
}

/** Resolves with the turn's end; throws when it is another one. */
async function cancel(
  client: Client,
  { conversationId, turnId, requestId }: Running & { conversationId: string },
): Promise<{ sentAt: number; end: Frame }> {
  const ended = client.next((frame) => isEnd(frame, requestId));
  const sentAt = performance.now();
  client.send({ type: 'chat.cancel', conversationId, turnId });
  const end = await ended;
  if (end.type !== 'chat.cancelled') throw new Error(`a cancelled turn ended by ${end.type}`);
  return { sentAt, end };
}

/** When the steps of each cancel were seen: for the note alone, so one that never comes is waited for by nobody. */
class Steps {
  readonly #seen = new Map<string, number>();
  readonly #kept = new Map<string, number[]>();

  constructor(client: Client) {
    client.onFrame = ({ type, payload, seenAt }) => {
      if (type === 'chat.cancelling') this.#seen.set(String(payload?.['step']), seenAt);
    };
  }

  /** Keeps those of the round that is over. */
  keep(sentAt: number): void {
    for (const [step, seenAt] of this.#seen)
      this.#kept.set(step, [...this.of(step), seenAt - sentAt]);
    this.#seen.clear();
  }

  /** Milliseconds from the cancels to this step. */
  of(step: string): readonly number[] {
    return this.#kept.get(step) ?? [];
  }
}

/** Whether the provider itself has written that this turn is over. */
function hasEnded(outFile: string, key: string): boolean {
  const lastLine = readFileSync(outFile, 'utf8').trimEnd().split('\n').at(-1) ?? '';
  const said = JSON.parse(lastLine) as { type: string; turn?: string };
  return said.type === 'end' && said.turn === key;
}
