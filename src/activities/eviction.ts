/** One custody process for each host name: a new one ends an older one, running or stopped, before it adopts. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  identify,
  isIdentity,
  isSameProcess,
  type ProcessIdentity,
  signalProcess,
} from '../providers/process/process-table.ts';
import { whenThereIsRoom } from '../store/write-failures.ts';
import type { CustodyLog } from './custody-settings.ts';

/** How long a killed process may take to be gone. */
const GONE_WITHIN_MS = 5_000;

/**
 * Makes this process the custody of `host`: kills the recorded one if it still is that process (pid, start time and boot
 * compared), waits until it is gone, and records itself in `folder`. Turns go on: their processes are not its children.
 * Two that start at the same moment may both get through: the epoch in the log (F1) keeps the loser from writing, and
 * {@link hasLostCustodyOfHost} tells it to stop.
 */
export async function takeCustodyOfHost(request: {
  folder: string;
  host: string;
  log: CustodyLog;
}): Promise<void> {
  const path = join(request.folder, `turn-host.${request.host}.json`);
  const own = `${path}.${process.pid}`;
  // Before the other is ended: without room for this, nobody would look after the turns.
  await whenThereIsRoom(async () => writeOrNothing(own, JSON.stringify(identify(process.pid))));
  const earlier = readIdentity(path);
  if (earlier !== null && earlier.pid !== process.pid && isSameProcess(earlier)) {
    request.log('warn', 'evicting an older turn host of this name', { pid: earlier.pid });
    signalProcess(earlier, 'SIGKILL');
    const deadline = performance.now() + GONE_WITHIN_MS;
    while (isSameProcess(earlier)) {
      if (performance.now() > deadline)
        throw new Error(`the older turn host (pid ${earlier.pid}) cannot be ended`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  renameSync(own, path);
}

function writeOrNothing(path: string, text: string): void {
  try {
    writeFileSync(path, text, { mode: 0o600 });
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

/** Whether another process has made itself the custody of `host` since: this one must stop. */
export function hasLostCustodyOfHost({ folder, host }: { folder: string; host: string }): boolean {
  const recorded = readIdentity(join(folder, `turn-host.${host}.json`));
  return recorded !== null && recorded.pid !== process.pid && isSameProcess(recorded);
}

function readIdentity(path: string): ProcessIdentity | null {
  try {
    const identity: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return isIdentity(identity) ? identity : null;
  } catch {
    // None was ever here, or its record was torn: the epoch decides.
    return null;
  }
}
