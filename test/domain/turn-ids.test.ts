import { expect, test } from 'vitest';

import { isId } from '../../src/contracts/ids.ts';
import { promptMessageId, turnIdOf } from '../../src/domain/turn-ids.ts';

const salt = 'a5f0c0de-0000-4000-8000-000000000001';

test('the same request leads to the same turn', () => {
  const request = { salt, conversationId: 'c1', requestId: 'r1' };
  expect(turnIdOf(request)).toBe(turnIdOf({ ...request }));
  expect(promptMessageId(turnIdOf(request))).toBe(promptMessageId(turnIdOf({ ...request })));
});

test('two requests lead to two turns: no collision among 100,000, nor where ids and salts differ little', () => {
  const ids = new Set<string>();
  for (let index = 0; index < 100_000; index += 1)
    ids.add(turnIdOf({ salt, conversationId: `c${index % 7}`, requestId: `r${index}` }));
  ids.add(turnIdOf({ salt, conversationId: 'c', requestId: '11' }));
  ids.add(turnIdOf({ salt, conversationId: 'c1', requestId: '1' }));
  ids.add(turnIdOf({ salt: salt.replace('1', '2'), conversationId: 'c1', requestId: '1' }));
  expect(ids.size).toBe(100_003);
  // Not only as wholes: each quarter spreads by itself.
  for (let quarter = 0; quarter < 4; quarter += 1) {
    const part = new Set([...ids].map((id) => id.slice(1 + quarter * 8, 9 + quarter * 8)));
    expect(part.size).toBeGreaterThan(99_900);
  }
});

test('both are ids', () => {
  const turnId = turnIdOf({ salt, conversationId: 'x'.repeat(64), requestId: 'y'.repeat(64) });
  expect(isId(turnId)).toBe(true);
  expect(isId(promptMessageId(turnId))).toBe(true);
  expect(promptMessageId(turnId)).not.toBe(turnId);
});
