/** The floors' workflows: each does the least that can be called what the product does. */
import { condition, defineSignal, proxyActivities, setHandler } from '@temporalio/workflow';

export const goSignal = defineSignal<[number]>('go');

/** Of a turn: starts one activity for each signal. */
export async function floor({ activityQueue }: { activityQueue: string }): Promise<void> {
  const { started } = proxyActivities<{ started(n: number): Promise<void> }>({
    taskQueue: activityQueue,
    startToCloseTimeout: '10 seconds',
  });
  const pending: number[] = [];
  setHandler(goSignal, (n) => {
    pending.push(n);
  });
  for (;;) {
    await condition(() => pending.length > 0);
    const n = pending.shift();
    if (n !== undefined) await started(n);
  }
}

/** Of a trigger's fire: it was started. */
export async function nothing(): Promise<void> {}
