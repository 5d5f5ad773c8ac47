/** What the process entries share: how a process says that it serves, how it logs, and how it waits for Temporal. */
import { flushCompileCache } from 'node:module';

/** Tells the supervisor, on stdout, that this process serves. One JSON line. */
export function announceReady(role: string, facts: Readonly<Record<string, unknown>> = {}): void {
  process.stdout.write(`${JSON.stringify({ ready: true, role, pid: process.pid, ...facts })}\n`);
  keepCompiled();
}

/**
 * Writes what has been compiled so far to the compile cache. Node does it by itself when a process ends, but not one that is
 * killed: the process that replaces it would compile everything again, at twice the time.
 */
export function keepCompiled(): void {
  setImmediate(() => flushCompileCache());
}

/** A log on a full disk loses lines; that is no reason to end. To be called first. */
export function outliveFullLogs(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}

/** Connects, again and again, while Temporal is not there: it may be starting, or be restarted. */
export async function connectPatiently<T>(connect: () => Promise<T>): Promise<T> {
  for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 1_000)) {
    try {
      return await connect();
    } catch (error) {
      process.stderr.write(`Temporal does not answer yet: ${String(error)}\n`);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}
