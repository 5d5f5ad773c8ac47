/** What the parts of the client share. */
import type { Event } from '../../src/contracts/events.ts';
import type { Creations } from './creations.ts';
import type { Drafts } from './drafts.ts';
import type { Edits } from './edits.ts';
import type { FrameBatch } from './frame-batch.ts';
import type { Http } from './http.ts';
import type { Link } from './link.ts';
import type { Outbox } from './outbox.ts';
import type { Parts } from './parts.ts';
import type { Retries } from './retries.ts';
import type { Streams } from './streams.ts';

export type Engine = {
  readonly parts: Parts;
  readonly http: Http;
  readonly link: Link;
  readonly streams: Streams;
  readonly frames: FrameBatch;
  readonly outbox: Outbox;
  readonly creations: Creations;
  readonly drafts: Drafts;
  readonly edits: Edits;
  readonly retries: Retries;
  /** Hears of every event of a conversation, and of tables that are renamed. */
  readonly onEvent: (event: Event) => void;
};
