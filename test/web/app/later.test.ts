import { expect, test, vi } from 'vitest';

import { later, wantTheRest } from '../../../web/parts/later.ts';

const settled = () => new Promise((resolve) => setImmediate(resolve));

test('code is loaded once, when it is wanted, and told of', async () => {
  const load = vi.fn<() => Promise<string>>(() => Promise.resolve('code'));
  const code = later(load);
  const told = vi.fn<() => void>();
  code.subscribe(told);
  expect(load).not.toHaveBeenCalled();
  code.want();
  code.want();
  expect(code.get()).toBeNull();
  await settled();
  code.want();
  expect(code.get()).toBe('code');
  expect(load).toHaveBeenCalledTimes(1);
  expect(told).toHaveBeenCalledTimes(1);
});

test('what could not be loaded is loaded when it is wanted again', async () => {
  const load = vi
    .fn<() => Promise<string>>()
    .mockRejectedValueOnce(new Error('the engine is away'))
    .mockResolvedValue('code');
  const code = later(load);
  code.want();
  await settled();
  expect(code.get()).toBeNull();
  code.want();
  await settled();
  expect(code.get()).toBe('code');
});

test('the rest comes in one go', async () => {
  const code = later(() => Promise.resolve('code'));
  wantTheRest();
  await settled();
  expect(code.get()).toBe('code');
});
