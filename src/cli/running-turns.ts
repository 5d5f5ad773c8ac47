/** The turns that run now: from the store, so that they are known also while the gateway is away. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Config } from '../config.ts';
import type { PhaseName } from '../contracts/events.ts';
import { TERM_GRACE_MS } from '../contracts/limits.ts';
import { markedProcesses, signalGroup, signalProcess } from '../providers/process/process-table.ts';
import { Spool } from '../providers/process/spool.ts';
import { openStore } from '../store/open.ts';
import { waitGone } from '../supervisor/evict.ts';
import type { ApiClient } from './api-client.ts';

export type RunningTurn = {
  turnId: string;
  conversationId: string;
  attempt: number;
  /** Null: not started yet, not on this machine, or just ended. */
  providerPid: number | null;
  phase: PhaseName | null;
  lastOutputAt: string | null;
};

/** Attempts without an end, oldest first. Reads only. */
export async function runningTurns(config: Config): Promise<RunningTurn[]> {
  const store = await openStore({ url: config.store.url, readOnly: true });
  try {
    const turns: RunningTurn[] = [];
    for (const row of await store.runningAttempts(null)) {
      const { turnId, conversationId, attempt, place } = row;
      // One message is enough: what is asked for is the running turn.
      const active = (await store.snapshot(conversationId, 1))?.activeTurn ?? null;
      const current = active?.turnId === turnId && active.attempt === attempt ? active : null;
      turns.push({
        turnId,
        conversationId,
        attempt,
        providerPid:
          place === null || place.host !== config.turns.hostName
            ? null
            : providerPid({ root: config.paths.spools, name: place.spool }),
        phase: current?.phase ?? null,
        lastOutputAt: current?.lastActivityAt ?? null,
      });
    }
    return turns;
  } finally {
    await store.close();
  }
}

/**
 * Ends the processes of the turns of this host that still run, and everything under their marks. Only while no turn host is
 * there; the next one finds them gone and ends their attempts as interrupted, with what they had said.
 */
export async function endTurnProcesses(config: Config): Promise<void> {
  const store = await openStore({ url: config.store.url, readOnly: true });
  try {
    for (const { place } of await store.runningAttempts(config.turns.hostName)) {
      if (place === null) continue;
      const spool = Spool.open({ root: config.paths.spools, name: place.spool });
      const identity = spool?.identity() ?? null;
      if (spool === null || identity === null) continue;
      signalGroup(identity, 'SIGTERM');
      signalGroup(identity, 'SIGCONT');
      if (!(await waitGone({ target: identity, timeoutMs: TERM_GRACE_MS })))
        signalGroup(identity, 'SIGKILL');
      for (const found of markedProcesses())
        if (found.mark === spool.spec.mark) signalProcess(found, 'SIGKILL');
      spool.close();
    }
  } finally {
    await store.close();
  }
}

function providerPid(spool: { root: string; name: string }): number | null {
  const opened = Spool.open(spool);
  if (opened === null) return null;
  const pid = opened.isAlive() ? (opened.identity()?.pid ?? null) : null;
  opened.close();
  return pid;
}

/** Cancels `turns` and waits for their ends, at most `timeoutMs`. Answers with the ids of those that ended. */
export async function cancelTurns({
  client,
  turns,
  timeoutMs,
}: {
  client: ApiClient;
  turns: readonly RunningTurn[];
  timeoutMs: number;
}): Promise<string[]> {
  const deadline = new AbortController();
  const cancels = turns.map(async ({ conversationId, turnId }) => {
    await client.call({
      method: 'POST',
      path: `/v1/conversations/${encodeURIComponent(conversationId)}/cancel?wait=end`,
      body: { turnId },
      signal: deadline.signal,
    });
    return turnId;
  });
  const all = Promise.allSettled(cancels);
  await Promise.race([all, sleep(timeoutMs, undefined, { ref: false })]);
  deadline.abort();
  return (await all).flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
}
