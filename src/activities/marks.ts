/** What runs under the mark of an attempt, wherever it has moved itself. Never by name; each pid is compared by its start time. */
import type { NewEvent } from '../contracts/events.ts';
import { conversationStream, parseAttemptKey } from '../contracts/ids.ts';
import {
  bootId,
  markedProcesses,
  processFacts,
  signalProcess,
} from '../providers/process/process-table.ts';
import type { Store } from '../store/port.ts';
import { whenThereIsRoom } from '../store/write-failures.ts';

/** Linux counts CPU time for /proc in hundredths of a second on every architecture. */
const MS_PER_TICK = 10;

/** A look at every process of the machine takes some 10 ms, in which no turn of this host is served: of turns that fall silent together one looks for all. */
const FRESH_MS = 100;
let lastLook: { found: ReturnType<typeof markedProcesses>; atMs: number } | null = null;

/** What runs under `mark` and the CPU time that it has used, as evidence: may be a tenth of a second old. */
export function useUnder(mark: string): { processes: number; cpuMs: number } {
  if (lastLook === null || performance.now() - lastLook.atMs > FRESH_MS)
    lastLook = { found: markedProcesses(), atMs: performance.now() };
  const facts = lastLook.found.flatMap(({ pid, startTime, mark: its }) => {
    const now = its === mark ? processFacts(pid) : null;
    return now?.startTime === startTime ? [now] : [];
  });
  const ticks = facts.reduce((sum, { cpuTicks }) => sum + cpuTicks, 0);
  return { processes: facts.length, cpuMs: ticks * MS_PER_TICK };
}

/** KILL to everything under `mark`; the pids. */
export function killUnder(mark: string): number[] {
  return markedProcesses()
    .filter((found) => found.mark === mark && signalProcess(found, 'SIGKILL'))
    .map(({ pid }) => pid);
}

/** P2: the row for a process that was killed beside the ladder of its own turn. */
export function strayKilled(found: {
  turnId: string;
  attempt: number;
  pid: number;
  mark: string;
}): NewEvent {
  const { turnId, attempt, pid, mark } = found;
  const text = `Process ${pid}, left over from attempt ${mark}, was killed.`;
  return { type: 'notice', turnId, attempt, payload: { code: 'stray_killed', text } };
}

/**
 * P2: kills what carries the mark of one of `host`'s attempts and is not among `owned`. A mark that the store does not
 * know is another installation's, and is left alone. Each kill is a row of the conversation's log.
 */
export async function sweepStrays({
  store,
  host,
  owned,
}: {
  store: Store;
  host: string;
  owned: ReadonlySet<string>;
}): Promise<void> {
  for (const found of markedProcesses()) {
    const key = parseAttemptKey(found.mark);
    if (key === null || owned.has(found.mark)) continue;
    const row = await store.attempt(key.turnId, key.attempt);
    if (row?.place?.host !== host || !signalProcess(found, 'SIGKILL')) continue;
    const { conversationId } = row;
    await whenThereIsRoom(() =>
      store.append({
        stream: conversationStream(conversationId),
        key: `stray:${bootId()}:${found.pid}:${found.startTime}`,
        events: [strayKilled({ ...row, ...found })],
      }),
    );
  }
}
