/** What surviving costs: cancels with proof, recoveries after `kill -9`, silence, boots. Stacks of their own, since the clocks differ and processes die. */
import { measureBoot } from './boot.ts';
import { measureIgnoredCancel, measureObeyedCancel } from './cancel.ts';
import type { Figure } from './figures.ts';
import { measureKills } from './kills.ts';
import { measureSilence } from './silence.ts';
import { startStack } from './stack.ts';

/** Short ones: what is asked is how much the product adds to them. */
const CANCEL_GRACE_MS = 400;
const TERM_GRACE_MS = 600;
const QUIET_MS = 1_500;
const STALLED_MS = 3_000;

export async function measureSurvival(): Promise<Figure[]> {
  const figures: Figure[] = [];
  const stack = await startStack({
    HOLDFAST_CANCEL_GRACE_MS: String(CANCEL_GRACE_MS),
    HOLDFAST_TERM_GRACE_MS: String(TERM_GRACE_MS),
    HOLDFAST_QUIET_AFTER_MS: String(QUIET_MS),
    HOLDFAST_STALLED_AFTER_MS: String(STALLED_MS),
  });
  try {
    figures.push(
      ...(await measureObeyedCancel(stack)),
      ...(await measureIgnoredCancel(stack, { clocksMs: CANCEL_GRACE_MS + TERM_GRACE_MS })),
      ...(await measureSilence(stack, { quietMs: QUIET_MS, stalledMs: STALLED_MS })),
    );
  } finally {
    stack.stop();
  }
  return [...figures, ...(await measureKills()), ...(await measureBoot())];
}
