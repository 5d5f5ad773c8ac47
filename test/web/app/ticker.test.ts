import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { onTick } from '../../../web/parts/ticker.ts';

/** As much of a document as the ticker looks at. */
class Tab extends EventTarget {
  visibilityState: 'visible' | 'hidden' = 'visible';
  show(state: 'visible' | 'hidden') {
    this.visibilityState = state;
    this.dispatchEvent(new Event('visibilitychange'));
  }
}
let tab: Tab;
beforeEach(() => {
  vi.useFakeTimers({ now: 250 });
  tab = new Tab();
  vi.stubGlobal('document', tab);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test('all of one period are called together, at its whole multiples', async () => {
  const times: number[] = [];
  const stopOne = onTick(1_000, () => times.push(Date.now()));
  await vi.advanceTimersByTimeAsync(300);
  const stopTwo = onTick(1_000, () => times.push(Date.now()));
  await vi.advanceTimersByTimeAsync(1_700);
  expect(times).toEqual([1_000, 1_000, 2_000, 2_000]);
  expect(vi.getTimerCount()).toBe(1);
  stopOne();
  stopTwo();
  stopTwo();
  expect(vi.getTimerCount()).toBe(0);
});

test('it stands still while nobody sees it, and is right at once when the tab is shown', async () => {
  const listener = vi.fn<() => void>();
  const stop = onTick(1_000, listener);
  tab.show('hidden');
  await vi.advanceTimersByTimeAsync(10_000);
  expect(listener).not.toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
  tab.show('visible');
  expect(listener).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(listener).toHaveBeenCalledTimes(2);
  stop();
});

test('begun while hidden, it waits for the tab', async () => {
  tab.show('hidden');
  const listener = vi.fn<() => void>();
  const stop = onTick(1_000, listener);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(listener).not.toHaveBeenCalled();
  tab.show('visible');
  expect(listener).toHaveBeenCalledTimes(1);
  stop();
  tab.show('visible');
  expect(listener).toHaveBeenCalledTimes(1);
});
