/**
 * The processes of this machine, read from /proc: identity, marks, groups. Linux only.
 *
 * A pid alone names nobody: it is reused. A process is its pid *and* its start time, within one boot.
 */
import { readdirSync, readFileSync } from 'node:fs';

import { PROCESS_MARK } from '../../contracts/names.ts';

/** A process that can be recognised later. `startTime` is in clock ticks since boot, as /proc writes it. */
export type ProcessIdentity = { pid: number; startTime: string; bootId: string };

export type ProcessFacts = {
  pid: number;
  parentPid: number;
  groupId: number;
  sessionId: number;
  startTime: string;
  /** A zombie has ended and only waits to be reaped. */
  zombie: boolean;
  /** User and system CPU used so far, in clock ticks. */
  cpuTicks: number;
};

let bootIdOnce: string | undefined;

/** Identity of this boot; a recorded process of another boot is dead. */
/**
 * Seconds the machine has run since its boot, its sleep not counted: the same clock in every process, set by nobody.
 * Source: CLOCK_MONOTONIC, which is what Node's hrtime reads on Linux.
 */
export function awakeSeconds(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}

export function bootId(): string {
  bootIdOnce ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return bootIdOnce;
}

/** Facts of a live (or zombie) process; null when there is none. */
export function processFacts(pid: number): ProcessFacts | null {
  const stat = readProc(`/proc/${pid}/stat`)?.toString('latin1');
  if (stat === undefined) return null;
  // The second field is the command in parentheses and may hold anything, also spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const number = (index: number): number => Number(fields[index] ?? 0);
  return {
    pid,
    zombie: fields[0] === 'Z' || fields[0] === 'X',
    parentPid: number(1),
    groupId: number(2),
    sessionId: number(3),
    cpuTicks: number(11) + number(12),
    startTime: fields[19] ?? '',
  };
}

/** Start time of a live process, or null: none, or a zombie. */
export function processStartTime(pid: number): string | null {
  const facts = processFacts(pid);
  return facts === null || facts.zombie ? null : facts.startTime;
}

/** Identity of a live process, or null. */
export function identify(pid: number): ProcessIdentity | null {
  const startTime = processStartTime(pid);
  return startTime === null ? null : { pid, startTime, bootId: bootId() };
}

/** Whether `value` is an identity that was written down. */
export function isIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false;
  const {
    pid,
    startTime,
    bootId: boot,
  } = Object.assign({ pid: 0, startTime: 0, bootId: 0 }, value);
  return typeof pid === 'number' && typeof startTime === 'string' && typeof boot === 'string';
}

/** Whether that very process still runs. */
export function isSameProcess(recorded: {
  pid: number;
  startTime: string;
  bootId?: string;
}): boolean {
  if (recorded.bootId !== undefined && recorded.bootId !== bootId()) return false;
  return processStartTime(recorded.pid) === recorded.startTime;
}

/** The mark in a process's environment (`<turnId>.<attempt>`), or null. */
export function markOf(pid: number): string | null {
  const environment = readProc(`/proc/${pid}/environ`);
  if (environment === undefined) return null;
  // A byte search first: almost every process of the machine has no mark.
  let start = environment.indexOf(`${PROCESS_MARK}=`, 0, 'latin1');
  while (start > 0 && environment[start - 1] !== 0)
    start = environment.indexOf(`${PROCESS_MARK}=`, start + 1, 'latin1');
  if (start < 0) return null;
  const end = environment.indexOf(0, start);
  return environment
    .subarray(start + PROCESS_MARK.length + 1, end < 0 ? environment.length : end)
    .toString('utf8');
}

/** Every live process that carries a mark. Costs about a millisecond. Source: provider-facts.md section 0. */
export function markedProcesses(): { pid: number; startTime: string; mark: string }[] {
  const found: { pid: number; startTime: string; mark: string }[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const mark = markOf(pid);
    if (mark === null) continue;
    const startTime = processStartTime(pid);
    if (startTime !== null) found.push({ pid, startTime, mark });
  }
  return found;
}

/** Signals a process only if it is still that process. False: it was gone, or may not be signalled. */
export function signalProcess(
  target: { pid: number; startTime: string },
  signal: NodeJS.Signals,
): boolean {
  if (processStartTime(target.pid) !== target.startTime) return false;
  return kill(target.pid, signal);
}

/** Signals the process group that `leader` leads, if it is still that process. */
export function signalGroup(
  leader: { pid: number; startTime: string },
  signal: NodeJS.Signals,
): boolean {
  const facts = processFacts(leader.pid);
  if (facts === null || facts.startTime !== leader.startTime || facts.groupId <= 1) return false;
  return kill(-facts.groupId, signal);
}

function kill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    // ESRCH: gone in between. EPERM: not ours to signal.
    return false;
  }
}

/** A process may end between any two reads; then there is nothing to read (ENOENT, ESRCH), or it is not ours (EACCES). */
function readProc(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
