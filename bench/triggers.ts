/** What triggers cost: those that are due, those that were not looked at for a day, their ledgers, and a thousand that wait. */
import { join } from 'node:path';

import { openStore } from '../src/store/open.ts';
import type { Store } from '../src/store/port.ts';
import type { Figure } from './figures.ts';
import { type Stack, startStack } from './stack.ts';
import { measureDueTimes } from './triggers/due-times.ts';
import { measureFires } from './triggers/fires.ts';
import { measureGap } from './triggers/gap.ts';
import { measureLedgers } from './triggers/ledgers.ts';
import { measureStandby } from './triggers/standby.ts';

export async function measureTriggers(): Promise<Figure[]> {
  return [
    ...measureDueTimes(),
    ...(await withStack((stack) =>
      withStoreOf(stack, async (store) => [
        ...(await measureFires({ stack, store })),
        ...(await measureGap({ stack, store })),
        ...(await measureLedgers({ stack, store })),
      ]),
    )),
    ...(await withStack((quiet) => withStack((crowded) => measureStandby({ quiet, crowded })))),
  ];
}

async function withStack(measure: (stack: Stack) => Promise<Figure[]>): Promise<Figure[]> {
  const stack = await startStack();
  try {
    return await measure(stack);
  } finally {
    stack.stop();
  }
}

/** Beside the engine's own processes: what is measured is done by them. */
async function withStoreOf(
  stack: Stack,
  measure: (store: Store) => Promise<Figure[]>,
): Promise<Figure[]> {
  const store = await openStore({ url: `sqlite:${join(stack.status.home, 'holdfast.db')}` });
  try {
    return await measure(store);
  } finally {
    await store.close();
  }
}
