/** Events that are said quietly between the rows. Source: docs/page.md. */
import type { Event } from '../../src/contracts/events.ts';
import type { Note } from './contract.ts';

/** The note that an event is; null: it is none. `silentSinceMs`: when its turn was last heard of, in the server's time. */
export function noteOf(
  event: Event,
  { silentSinceMs, isOwnMessage }: { silentSinceMs: number | null; isOwnMessage: boolean },
): Note | null {
  const base = { key: `note.${event.seq}`, at: event.at };
  switch (event.type) {
    case 'chat.attached': {
      const gapMs = silentSinceMs === null ? null : Date.parse(event.at) - silentSinceMs;
      const after = gapMs === null || gapMs < 0 ? '' : ` after ${seconds(gapMs)}`;
      return { ...base, kind: 'attached', text: `turn re-attached${after}` };
    }
    case 'notice':
      return { ...base, kind: 'notice', text: event.payload.text };
    case 'chat.retrying': {
      const { attempt, delayMs, status } = event.payload;
      const why = status === '' ? '' : ` (${status})`;
      return {
        ...base,
        kind: 'retrying',
        text: `the provider tries again${why}: attempt ${attempt}, in ${seconds(delayMs)}`,
      };
    }
    case 'trigger.fired': {
      const { triggerId, title, words } = event.payload;
      const name = title === '' ? triggerId : title;
      return { ...base, kind: 'trigger', text: `trigger “${name}”: ${words}`, link: triggerId };
    }
    case 'chat.steered':
      // Mail that begins a turn together with other mail is said to be taken in too; nobody wrote it into the running turn.
      return isOwnMessage
        ? { ...base, kind: 'steered', text: 'the running turn took this message in' }
        : null;
    case 'mail.expired': {
      const { from } = event.payload;
      return {
        ...base,
        kind: 'agent',
        text: 'a message of an agent has expired before it was read',
        ...(from === null ? {} : { link: from }),
      };
    }
    default:
      return null;
  }
}

/** One decimal below ten seconds. */
function seconds(ms: number): string {
  return ms < 9_950 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 1_000)} s`;
}
