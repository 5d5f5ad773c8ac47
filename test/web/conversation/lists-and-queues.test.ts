/** What keeps the list in its place, and the work for idle moments in its order. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { coloured } from '../../../web/conversation/highlight.ts';
import { createIdleQueue } from '../../../web/conversation/idle-queue.ts';
import { listChange } from '../../../web/conversation/list-change.ts';
import { placeMemory } from '../../../web/conversation/place-memory.ts';
import { isUpwards } from '../../../web/conversation/scroll-intent.ts';

const rows = (keys: string) => keys.split('').map((key) => ({ key }));

describe('listChange', () => {
  test.each([
    ['', 'abc', 'end'],
    ['abc', 'abcde', 'end'],
    ['abc', 'abc', 'end'],
    ['cde', 'abcde', 'start'],
    ['abcde', 'cde', 'start'],
    ['cde', 'abcdefg', 'both'],
    ['abc', 'abxc', 'other'],
    ['abc', 'ab', 'other'],
    ['abc', 'xyz', 'other'],
    ['abc', '', 'other'],
    ['abcde', 'cdef', 'other'],
    ['cde', 'abcxde', 'other'],
  ] as const)('%j to %j: %s', (before, after, change) => {
    expect(listChange(rows(before), rows(after))).toBe(change);
  });

  test('the same list is the same', () => {
    const list = rows('ab');
    expect(listChange(list, list)).toBe('same');
  });

  test('what it says of two ends is so', () => {
    const part = fc.uniqueArray(fc.integer(), { minLength: 0, maxLength: 9 });
    fc.assert(
      fc.property(part, part, part, (older, kept, newer) => {
        const keyed = (all: readonly number[]) => all.map((key) => ({ key: String(key) }));
        const all = [...new Set([...older, ...kept, ...newer])];
        const from = older.length % Math.max(1, all.length);
        const to = Math.max(from + 1, all.length - (newer.length % 3));
        const before = keyed(all.slice(from, to));
        fc.pre(before.length > 0);
        const expected = from === 0 ? 'end' : to >= all.length ? 'start' : ('both' as const);
        expect(listChange(before, keyed(all))).toBe(expected);
      }),
    );
  });
});

describe('isUpwards', () => {
  const at = (scrollOffset: number, scrollSize: number) => ({ scrollOffset, scrollSize });

  test('somebody who scrolls up leaves the end', () => {
    expect(isUpwards(at(1_000, 2_000), at(960, 2_000), true)).toBe(true);
  });

  test('rows that turn out to be smaller do not', () => {
    expect(isUpwards(at(1_000, 2_000), at(880, 1_880), false)).toBe(false);
    expect(isUpwards(at(1_000, 2_000), at(880, 1_880), true)).toBe(false);
  });

  test('text that comes does not', () => {
    expect(isUpwards(at(1_000, 2_000), at(1_000, 2_400), true)).toBe(false);
    expect(isUpwards(at(1_000, 2_000), at(1_400, 2_400), true)).toBe(false);
  });

  test('a leap without an input does', () => {
    expect(isUpwards(at(1_000, 2_000), at(0, 2_000), false)).toBe(true);
    expect(isUpwards(at(1_000, 2_000), at(900, 2_000), false)).toBe(false);
  });
});

describe('the idle queue', () => {
  /** Time that passes when a test says so: `turn` is one wake-up that has time for so many jobs. */
  function clock() {
    const waiting: ((hasTime: () => boolean) => void)[] = [];
    return {
      schedule: (run: (hasTime: () => boolean) => void) => void waiting.push(run),
      asked: () => waiting.length,
      turn: (count: number) => {
        let left = count;
        waiting.shift()?.(() => {
          left -= 1;
          return left > 0;
        });
      },
    };
  }

  test('1: in order, once each', () => {
    const { schedule, turn } = clock();
    const queue = createIdleQueue(schedule);
    const done: number[] = [];
    for (const job of [1, 2, 3]) queue.add(() => done.push(job));
    turn(2);
    expect(done).toEqual([1, 2]);
    turn(2);
    turn(2);
    expect(done).toEqual([1, 2, 3]);
  });

  test('1 and 2: what is cancelled never runs, and is not held', () => {
    const { schedule, turn } = clock();
    const queue = createIdleQueue(schedule);
    const done: number[] = [];
    const cancels = [1, 2, 3].map((job) => queue.add(() => done.push(job)));
    cancels[1]?.();
    cancels[0]?.();
    expect(queue.size).toBe(1);
    turn(9);
    expect(done).toEqual([3]);
    expect(queue.size).toBe(0);
    cancels[2]?.();
  });

  test('1: a job that throws takes no other with it', () => {
    const { schedule, turn } = clock();
    const queue = createIdleQueue(schedule);
    const done: number[] = [];
    queue.add(() => {
      throw new Error('a grammar that fails');
    });
    queue.add(() => done.push(2));
    expect(() => turn(9)).toThrow('a grammar that fails');
    turn(9);
    expect(done).toEqual([2]);
  });

  test('3: one wake-up at a time, and none for nothing', () => {
    const { schedule, asked, turn } = clock();
    const queue = createIdleQueue(schedule);
    queue.add(() => undefined);
    queue.add(() => undefined);
    expect(asked()).toBe(1);
    turn(1);
    expect(asked()).toBe(1);
    turn(1);
    expect(asked()).toBe(0);
  });
});

test('of a coloured tree only text and class names are taken', () => {
  const tree = coloured([
    { type: 'text', value: '<b>' },
    {
      type: 'element',
      tagName: 'script',
      properties: {
        className: ['hljs-title', 'function_', 'a b'],
        onclick: 'alert(1)',
        id: 'x',
      },
      children: [{ type: 'text', value: 'run' }],
    },
    { type: 'comment', value: 'x' },
  ]);
  expect(tree).toMatchObject([
    '<b>',
    { type: 'span', props: { className: 'hljs-title function_', children: ['run'] } },
    null,
  ]);
});

test('places are remembered, of so many conversations', () => {
  placeMemory('first').choices.set('x', true);
  expect(placeMemory('first').choices.get('x')).toBe(true);
  for (let index = 0; index < 100; index += 1) placeMemory(`other ${index}`);
  expect(placeMemory('first').choices.get('x')).toBeUndefined();
});
