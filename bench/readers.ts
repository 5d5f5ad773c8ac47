/** What readers cost: coming back, many at once, long histories, and ten thousand conversations in which nothing happens. */
import { join } from 'node:path';

import { openStore } from '../src/store/open.ts';
import type { Store } from '../src/store/port.ts';
import type { Figure } from './figures.ts';
import { IDLE_SETTINGS, measureIdle } from './readers/idle.ts';
import { measureSnapshots, measureTurns } from './readers/pages.ts';
import { measureCrowd, measureReconnect } from './readers/reconnect.ts';
import { RowServer } from './readers/rows.ts';
import { measureWatchers } from './readers/watchers.ts';
import { type Stack, startStack } from './stack.ts';

export async function measureReaders(): Promise<Figure[]> {
  return [...(await measureDelivery()), ...(await measureBesideIdle())];
}

/** Everything that one stack can show. */
function measureDelivery(): Promise<Figure[]> {
  return withStack({}, async (stack) => {
    const store = await openStoreOf(stack);
    const rows = await RowServer.start(databaseOf(stack));
    const port = Number(new URL(stack.status.api).port);
    const gateway = { kind: 'gateway', port, token: stack.token } as const;
    const parts = { stack, store, rows, gateway };
    try {
      return [
        ...(await measureReconnect(parts)),
        ...(await measureCrowd(parts)),
        ...(await measureWatchers(parts)),
        ...(await measureSnapshots(parts)),
        ...(await measureTurns(parts)),
      ];
    } finally {
      rows.stop();
      await store.close();
    }
  });
}

function measureBesideIdle(): Promise<Figure[]> {
  return withStack(IDLE_SETTINGS, (quiet) =>
    withStack(IDLE_SETTINGS, async (crowded) => {
      const store = await openStoreOf(crowded);
      try {
        return await measureIdle({ quiet, crowded, store });
      } finally {
        await store.close();
      }
    }),
  );
}

async function withStack(
  settings: Readonly<Record<string, string>>,
  measure: (stack: Stack) => Promise<Figure[]>,
): Promise<Figure[]> {
  const stack = await startStack(settings);
  try {
    return await measure(stack);
  } finally {
    stack.stop();
  }
}

function databaseOf(stack: Stack): string {
  return join(stack.status.home, 'holdfast.db');
}

/** Beside the engine's own processes: what is measured is read by them, and only made here. */
function openStoreOf(stack: Stack): Promise<Store> {
  return openStore({ url: `sqlite:${databaseOf(stack)}` });
}
