/** How a list of rows became another one, told by keys: the virtual list keeps its place by it. */

type Keyed = { readonly key: string };

/**
 * `end`: what was there still begins the list, or it was empty. `start`: what was there still ends it, and something was put before it or
 * taken from there. `both`: put before it, and changed behind it. `other`: anything else.
 */
export type ListChange = 'same' | 'end' | 'start' | 'both' | 'other';

/** Costs a scan only where the first row is another one. */
export function listChange(before: readonly Keyed[], after: readonly Keyed[]): ListChange {
  if (before === after) return 'same';
  const first = before[0];
  const last = before.at(-1);
  if (first === undefined || last === undefined) return 'end';
  if (after[0]?.key === first.key)
    return after[before.length - 1]?.key === last.key ? 'end' : 'other';
  const added = after.findIndex(({ key }) => key === first.key);
  if (added > 0) {
    const end = added + before.length - 1;
    if (after[end]?.key !== last.key) return 'other';
    return end === after.length - 1 ? 'start' : 'both';
  }
  const removed = before.findIndex(({ key }) => key === after[0]?.key);
  const isTail = removed > 0 && before.length - removed === after.length;
  return isTail && after.at(-1)?.key === last.key ? 'start' : 'other';
}
