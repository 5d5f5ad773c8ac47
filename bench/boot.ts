/** The boot of a turn host that finds 50 finished spools and 20 live ones. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { attemptKey } from '../src/contracts/ids.ts';
import { CarefulClient } from './careful-client.ts';
import { type Figure, inSteps, median } from './figures.ts';
import { finish, startFleet, streamTogether, type Turn } from './fleet.ts';
import { turnHostComesUp } from './floor/come-up.ts';
import { custodyAt, killProcess, startedAt } from './kills.ts';
import { newConversation, type Stack, startStack } from './stack.ts';

const FINISHED = 50;
/** Made a few at a time: a host keeps only the newest ended ones, and each is copied before it is tidied away. */
const AT_ONCE = 10;
const BOOTS = 5;
/** Twenty seconds: longer than all the boots. */
const WORDS = 1_000;

type Boot = { adoptedMs: number; ownCodeMs: number; firstMs: number };

/** From the start of the process, so it does not matter that the supervisor makes the later ones of a minute wait. */
export async function measureBoot(): Promise<Figure[]> {
  const stack = await startStack();
  const copies = mkdtempSync(join(tmpdir(), 'holdfast-bench-spools-'));
  const spools = join(stack.status.home, 'spools');
  const boots: Boot[] = [];
  const floor: number[] = [];
  let fleet: CarefulClient[] = [];
  try {
    const faults: string[] = [];
    for (let made = 0; made < FINISHED; made += AT_ONCE) {
      const group = Array.from({ length: AT_ONCE }, () => finishSpool(stack, copies));
      faults.push(...(await Promise.all(group)).flat());
    }
    for (let boot = 0; boot < BOOTS; boot += 1) floor.push(await turnHostComesUp(stack));
    fleet = await startFleet(stack);
    const turns = await streamTogether(fleet, WORDS);
    for (let boot = 0; boot < BOOTS; boot += 1) {
      putBack({ copies, spools });
      boots.push(await bootOnce(stack, turns));
    }
    faults.push(...(await finish(turns)));
    const adopted = boots.map(({ adoptedMs }) => adoptedMs);
    const row = (name: string, product: number, bare: number): Figure => ({
      name,
      unit: 'ms',
      product,
      floor: bare,
      goal: '≤ 1,000 ms',
      met: product <= 1_000 && faults.length === 0,
    });
    return [
      {
        ...row(
          `turn host with ${FINISHED} finished spools and ${turns.length} live ones: boot → all adopted, p50 (floor: its process comes up)`,
          median(adopted),
          median(floor),
        ),
        faults,
        note: `ms from the spawn, medians of ${BOOTS}: ${inSteps([
          ['its code runs', boots.map(({ ownCodeMs }) => ownCodeMs)],
          ['first attached', boots.map(({ firstMs }) => firstMs)],
          ['last attached', adopted],
        ])}`,
      },
      row('the same, slowest', Math.max(...adopted), Math.max(...floor)),
    ];
  } finally {
    for (const client of fleet) client.close();
    stack.stop();
    rmSync(copies, { recursive: true, force: true });
  }
}

/** A turn whose process is gone at its end, and a copy of what it leaves. Answers with what its client missed. */
async function finishSpool(stack: Stack, copies: string): Promise<string[]> {
  const conversationId = await newConversation(stack);
  const client = await CarefulClient.connect({ stack, conversationId });
  const { turnId } = await client.end(client.send('#script\nwords 200\nexit 0'));
  client.close();
  copy(join(stack.status.home, 'spools', attemptKey(turnId ?? '', 1)), copies);
  return client.faults;
}

/** Finished spools again as they were: each boot tidies most of them away. */
function putBack({ copies, spools }: { copies: string; spools: string }): void {
  const names = readdirSync(copies);
  if (names.length !== FINISHED) throw new Error(`${names.length} finished spools`);
  for (const name of names) if (!existsSync(join(spools, name))) copy(join(copies, name), spools);
}

/** With its FIFO, which Node's own copying refuses. */
function copy(folder: string, into: string): void {
  const { status, stderr } = spawnSync('cp', ['-a', folder, into], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

async function bootOnce(stack: Stack, turns: readonly Turn[]): Promise<Boot> {
  const attached = turns.map(({ client }) => client.next(({ type }) => type === 'chat.attached'));
  killProcess(stack, 'turn-host');
  const seen = (await Promise.all(attached)).map(({ seenAt }) => seenAt);
  const from = startedAt(stack, 'turn-host');
  return {
    adoptedMs: Math.max(...seen) - from,
    ownCodeMs: custodyAt(stack) - from,
    firstMs: Math.min(...seen) - from,
  };
}
