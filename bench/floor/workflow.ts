/** The floor of a turn: a workflow that starts one activity for each signal, and nothing else. */
import { condition, defineSignal, proxyActivities, setHandler } from '@temporalio/workflow';

export const goSignal = defineSignal<[number]>('go');

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
