/**
 * What the running supervisor tells others about itself: `<home>/run/supervisor.json`.
 *
 *  1 Written whole (a rename), at every change, and straight after each spawn: whoever reads it finds every child, also
 *    the next supervisor after this one was killed.
 *  2 It is never believed: a process in it counts only when pid, start time and boot are still those of a live one.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { isSameProcess, type ProcessIdentity } from '../providers/process/process-table.ts';

export type Role = 'supervisor' | 'temporal' | 'worker' | 'turn-host' | 'gateway';

export type ProcessRecord = ProcessIdentity & { role: Role; startedAt: string; restarts: number };

export type SupervisorState = {
  /** `stopping` covers everything from the first signal on. */
  phase: 'starting' | 'ready' | 'stopping';
  /** Address of the API, `http://host:port`. */
  api: string;
  /** Address of the Temporal server, `host:port`. */
  temporal: string;
  namespace: string;
  temporalUi: string | null;
  processes: ProcessRecord[];
};

const fileIn = (runFolder: string) => join(runFolder, 'supervisor.json');

export function writeState({
  runFolder,
  state,
}: {
  runFolder: string;
  state: SupervisorState;
}): void {
  const file = fileIn(runFolder);
  const unfinished = `${file}.${process.pid}`;
  writeFileSync(unfinished, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(unfinished, file);
}

export function removeState({ runFolder }: { runFolder: string }): void {
  rmSync(fileIn(runFolder), { force: true });
}

/** The last written state; null when there is none, or none that can be read. Its processes may be dead. */
export function readState({ runFolder }: { runFolder: string }): SupervisorState | null {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(fileIn(runFolder), 'utf8'));
  } catch {
    return null;
  }
  return isState(value) ? value : null;
}

/** The state with only those processes that still live; null when none does. */
export function readLiveState({ runFolder }: { runFolder: string }): SupervisorState | null {
  const state = readState({ runFolder });
  if (state === null) return null;
  const processes = state.processes.filter((record) => isSameProcess(record));
  return processes.length === 0 ? null : { ...state, processes };
}

function isState(value: unknown): value is SupervisorState {
  return (
    isRecord(value) &&
    typeof value['api'] === 'string' &&
    typeof value['temporal'] === 'string' &&
    Array.isArray(value['processes']) &&
    value['processes'].every(
      (record: unknown) =>
        isRecord(record) &&
        Number.isSafeInteger(record['pid']) &&
        Number(record['pid']) > 1 &&
        typeof record['startTime'] === 'string' &&
        typeof record['bootId'] === 'string' &&
        typeof record['role'] === 'string',
    )
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
