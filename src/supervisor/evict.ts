/**
 * Ending processes by their recorded identity, never by name and never a stranger: pid, start time and boot are compared
 * before every signal.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { isSameProcess, signalProcess } from '../providers/process/process-table.ts';
import type { ProcessRecord } from './state.ts';

const POLL_MS = 10;

type Target = { pid: number; startTime: string; bootId?: string };

/** Waits until that process is gone. False: it still lives at the deadline. */
export async function waitGone({
  target,
  timeoutMs,
}: {
  target: Target;
  timeoutMs: number;
}): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (isSameProcess(target)) {
    if (performance.now() >= deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}

/** TERM, and KILL after `graceMs`. How it went; `gone` when there was nobody to end. */
export async function endProcess({
  target,
  graceMs,
}: {
  target: Target;
  graceMs: number;
}): Promise<'gone' | 'terminated' | 'killed' | 'survived'> {
  if (!isSameProcess(target) || !signalProcess(target, 'SIGTERM')) return 'gone';
  // A stopped process takes no signal but KILL until it is continued.
  signalProcess(target, 'SIGCONT');
  if (await waitGone({ target, timeoutMs: graceMs })) return 'terminated';
  signalProcess(target, 'SIGKILL');
  return (await waitGone({ target, timeoutMs: 2_000 })) ? 'killed' : 'survived';
}

/**
 * Ends what a supervisor that was killed left behind: its children live on without it. The turns they ran go on in
 * their spools. Answers with those that were ended.
 */
export async function evict({
  processes,
  graceMs,
}: {
  processes: readonly ProcessRecord[];
  graceMs: number;
}): Promise<ProcessRecord[]> {
  const ended = await Promise.all(
    processes.map(async (record) => {
      if (record.role === 'supervisor') return null;
      return (await endProcess({ target: record, graceMs })) === 'gone' ? null : record;
    }),
  );
  return ended.filter((record) => record !== null);
}
