/** A log as it grows: a conversation's or a team's, over Server-Sent Events, across restarts of the gateway. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Event } from '../contracts/events.ts';
import { ApiError, type ApiClient, isRecord, passes } from './api-client.ts';

/** What the stream says: events of the log, and `reset` when what lies between was compacted away. */
export type Followed = Event | { type: 'reset' };

const PAUSE_MS = 200;
/** How long a gateway that does not come back is waited for. */
const PATIENCE_MS = 30_000;

/**
 * Events after `afterSeq`, in order, each once, until `signal` aborts. `path` answers with what they are of and its `lastSeq`; its
 * log is below it. Throws: `ApiError` for what does not pass by itself (no such conversation), `UnreachableError` when the
 * gateway stays away.
 */
export async function* followEvents({
  client,
  path,
  afterSeq,
  signal,
}: {
  client: ApiClient;
  path: string;
  afterSeq: number;
  signal: AbortSignal;
}): AsyncGenerator<Followed> {
  let seenSeq = afterSeq;
  let lastGoodMs = performance.now();
  while (!signal.aborted) {
    try {
      const log = `${path}/events?after=${seenSeq}`;
      for await (const { data } of client.events({ path: log, signal })) {
        lastGoodMs = performance.now();
        const item: unknown = JSON.parse(data);
        // What is no event of the log is a `reset`: the stream ends then, and the next answer says from where to go on.
        if (!isEvent(item) || item.seq <= seenSeq) continue;
        seenSeq = item.seq;
        yield item;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.code === 'cursor_expired') {
        seenSeq = await lastSeqOf({ client, path });
        yield { type: 'reset' };
        continue;
      }
      if (!passes(error) || performance.now() - lastGoodMs > PATIENCE_MS) throw error;
    }
    await sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** Our own gateway sent it: that it is an event is enough to know which. */
function isEvent(item: unknown): item is Event {
  return isRecord(item) && typeof item['seq'] === 'number' && typeof item['type'] === 'string';
}

/** The newest seq of the log of what `path` answers with. */
export async function lastSeqOf({
  client,
  path,
}: {
  client: ApiClient;
  path: string;
}): Promise<number> {
  const { body } = await client.callPatiently({ method: 'GET', path });
  return isRecord(body) && typeof body['lastSeq'] === 'number' ? body['lastSeq'] : 0;
}
