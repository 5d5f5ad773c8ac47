/**
 * What somebody has chosen to see of a conversation: where it is scrolled to, what is folded, what is being edited. A row of a
 * virtual list is forgotten when it goes out of sight; this is not, until the page is closed or many others were looked at.
 */
import type { CacheSnapshot } from 'virtua';

export type ScrollPlace = {
  /** Of the first row in sight, and how far it is scrolled beyond its beginning. */
  anchor: { key: string; offset: number } | null;
  isAtEnd: boolean;
  /** Sizes as they were measured; good for a list of the same length. */
  sizes: CacheSnapshot;
  length: number;
};

export type PlaceMemory = {
  scroll: ScrollPlace | null;
  readonly choices: Choices;
  /** By the name of the editor: its text. */
  readonly texts: Map<string, string>;
  /** The editor that was asked for last, until it has the focus. */
  focused: string | null;
};

/** By the name of the choice: whether it is open. */
export class Choices {
  readonly #chosen = new Map<string, boolean>();
  readonly #listeners = new Set<() => void>();

  get(name: string): boolean | undefined {
    return this.#chosen.get(name);
  }

  set(name: string, isOpen: boolean): void {
    this.#chosen.set(name, isOpen);
    for (const listener of this.#listeners) listener();
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

/** Conversations that are remembered. */
const REMEMBERED = 40;

const memories = new Map<string, PlaceMemory>();

/** The same object for the same conversation, unless {@link REMEMBERED} others were asked for since. */
export function placeMemory(conversationId: string): PlaceMemory {
  const memory = memories.get(conversationId) ?? {
    scroll: null,
    choices: new Choices(),
    texts: new Map<string, string>(),
    focused: null,
  };
  memories.delete(conversationId);
  memories.set(conversationId, memory);
  for (const oldest of memories.keys()) {
    if (memories.size <= REMEMBERED) break;
    memories.delete(oldest);
  }
  return memory;
}
