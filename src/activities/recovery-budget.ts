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

/** What the log says of this attempt since its provider was last heard: how often it has lately changed hands, and whether it was called quiet. */
export async function sinceItsLastSign({
  store,
  row: { conversationId, turnId },
}: {
  store: Store;
  row: AttemptRow;
}): Promise<{ attaches: number; wasQuiet: boolean }> {
  const stream = conversationStream(conversationId);
  const newest = await store.lastSeq(stream);
  const { items } = await store.events(stream, Math.max(0, newest - LOOK_BACK), LOOK_BACK);
  let attaches = 0;
  let wasQuiet = false;
  for (const { type, json } of items.toReversed()) {
    const event: unknown = JSON.parse(json);
    const { turnId: of, at } = Object.assign({ turnId: '', at: '' }, event);
    if (of !== turnId) continue;
    wasQuiet ||= type === 'chat.quiet';
    if (SIGNLESS.has(type)) continue;
    const recent = Date.now() - Date.parse(at) < RECOVERY_WINDOW_MS;
    if (type !== 'chat.attached' || !recent) break;
    attaches += 1;
  }
  return { attaches, wasQuiet };
}
