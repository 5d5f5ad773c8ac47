/** The recovery budget of a turn: one that may be what kills its hosts is not taken over for ever. */
import { conversationStream } from '../contracts/ids.ts';
import type { AttemptRow, Store } from '../store/port.ts';

/** An attempt that changes hands this often within the window, with no word of its provider, is ended. */
export const RECOVERY_LIMIT = 20;
const RECOVERY_WINDOW_MS = 600_000;
/** Events that are looked at. */
const LOOK_BACK = 100;
/** Events of a turn that say nothing about its provider. */
const SIGNLESS: ReadonlySet<string> = new Set([
  'chat.quiet',
  'chat.cancelling',
  'chat.queued',
  'notice',
]);

/** How often this attempt has lately changed hands without a sign of the provider in between. */
export async function attachesWithoutProgress({
  store,
  row: { conversationId, turnId },
}: {
  store: Store;
  row: AttemptRow;
}): Promise<number> {
  const stream = conversationStream(conversationId);
  const newest = await store.lastSeq(stream);
  const { items } = await store.events(stream, Math.max(0, newest - LOOK_BACK), LOOK_BACK);
  let count = 0;
  for (const { type, json } of items.toReversed()) {
    const event: unknown = JSON.parse(json);
    const { turnId: of, at } = Object.assign({ turnId: '', at: '' }, event);
    if (of !== turnId || SIGNLESS.has(type)) continue;
    const recent = Date.now() - Date.parse(at) < RECOVERY_WINDOW_MS;
    if (type !== 'chat.attached' || !recent) break;
    count += 1;
  }
  return count;
}
