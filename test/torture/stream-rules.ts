/** L1-L3 of a stream, of a conversation or a table: its log, what is read of it again, what a client is given of it. */
import type { Event } from '../../src/contracts/events.ts';
import type { Court, Place, StreamRecord } from './court.ts';
import type { ClientEntry, ClientRecord } from './evidence.ts';

/** L1: the log itself. */
export function checkLog(court: Court, { log, at: place }: StreamRecord): void {
  let due = 1;
  for (const { seq, json } of log) {
    const wanted = due;
    court.expect('L1', seq === wanted, () => ({
      what: `the log goes on with seq ${seq} where ${wanted} was due`,
      ...place([wanted, seq]),
    }));
    const inside = (JSON.parse(json) as Event).seq;
    court.expect('L1', inside === seq, () => ({
      what: `the event stored as ${seq} says it is ${inside}`,
      ...place([seq]),
    }));
    due = seq + 1;
  }
}

/** L2: what was seen is still there, unchanged. */
export function checkRereads(court: Court, { log, rereads, at: place }: StreamRecord): void {
  for (const { from, floor, entries } of rereads) {
    const again = new Map(entries.map(({ seq, json }) => [seq, json]));
    for (const { seq, json } of log) {
      if (seq <= floor) continue;
      const now = again.get(seq);
      court.expect('L2', now === json, () => ({
        what:
          now === undefined
            ? `event ${seq} is gone (${from})`
            : `event ${seq} was changed (${from}), now: ${now.slice(0, 300)}`,
        ...place([seq]),
      }));
    }
  }
}

/** L1, L3, L4: one client's history of a stream. `onEntry` is given each entry, for what is of one kind of stream only. */
export function checkClient(
  court: Court,
  { bySeq, at: place }: StreamRecord,
  client: ClientRecord,
  onEntry: (entry: ClientEntry) => void,
): void {
  /** The seq after which it goes on; null: it waits for a snapshot. */
  let cursor: number | null = null;
  const where = (seq: number): Place => place([seq]);
  for (const entry of client.entries) {
    onEntry(entry);
    switch (entry.is) {
      case 'subscribed':
        cursor = entry.lastSeq;
        break;
      case 'reset':
        cursor = null;
        break;
      case 'snapshot':
      case 'table':
      case 'team':
        cursor = entry.view.lastSeq;
        break;
      case 'caught-up': {
        const seen = cursor;
        // With what it had seen at that moment, or more: the log grows meanwhile.
        court.expect('L1', seen !== null && seen >= entry.seq, () => ({
          what: `${client.client} was told it had caught up with ${entry.seq}, and was at ${seen}`,
          ...where(entry.seq),
        }));
        break;
      }
      case 'event': {
        const before = cursor;
        court.expect('L1', before !== null && entry.seq === before + 1, () => ({
          what: `${client.client} was given seq ${entry.seq} after ${before}`,
          ...where(entry.seq),
        }));
        cursor = entry.seq;
        const logged = bySeq.get(entry.seq);
        court.expect('L3', logged === entry.json, () => ({
          what:
            logged === undefined
              ? `${client.client} was given an event that is not in the log: ${entry.json.slice(0, 300)}`
              : `${client.client} was given another event ${entry.seq}: ${entry.json.slice(0, 300)}`,
          ...where(entry.seq),
        }));
        break;
      }
      case 'closed':
        break;
    }
  }
}
