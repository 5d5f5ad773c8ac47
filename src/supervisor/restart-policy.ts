/**
 * When a process that died is started again. Pure: the caller brings the clock, one that nobody sets.
 *
 *  1 The first death in a minute is answered at once: a killed turn host must not keep its turns waiting.
 *  2 Each further one waits twice as long, up to 2 s.
 *  3 Above the budget every restart waits 5 s and is said aloud. There is no last restart.
 */

/** Deaths older than this are forgiven. */
const WINDOW_MS = 60_000;
/** Deaths in the window after which the process counts as failing. */
const BUDGET = 10;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 2_000;
const OVER_BUDGET_DELAY_MS = 5_000;

export type Restart = {
  delayMs: number;
  /** The process keeps dying: a person has to look. */
  overBudget: boolean;
  /** Deaths in the window, this one included. */
  deaths: number;
  /** What to pass as `deathsMs` at the next death. */
  remembered: number[];
};

/** What to do about a death at `nowMs`; `deathsMs` are the earlier ones that are remembered. */
export function planRestart({
  deathsMs,
  nowMs,
}: {
  deathsMs: readonly number[];
  nowMs: number;
}): Restart {
  const remembered = [...deathsMs.filter((at) => nowMs - at < WINDOW_MS), nowMs];
  const deaths = remembered.length;
  if (deaths > BUDGET)
    return { delayMs: OVER_BUDGET_DELAY_MS, overBudget: true, deaths, remembered };
  const delayMs = deaths === 1 ? 0 : Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (deaths - 2));
  return { delayMs, overBudget: false, deaths, remembered };
}
