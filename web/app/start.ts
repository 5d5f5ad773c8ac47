/** The first message of a table: whatever must be there first is made, and what was typed is kept until the client has taken it. */
import { isId } from '../../src/contracts/ids.ts';
import type { HoldfastClient, Problem } from '../client/contract.ts';
import { freshId } from '../parts/fresh-id.ts';
import { remembered, type Shelf } from './remembered.ts';

export const FIRST_TABLE_TITLE = 'My table';

/** The ids are chosen with the first letter: a try whose answer was lost makes nothing a second time. */
export type StartDraft = { text: string; tableId: string; conversationId: string };
export type StartDrafts = {
  get(): StartDraft;
  setText(text: string): void;
  clear(): void;
  /** Whether no words would be gone with this page. */
  isKept(): boolean;
};

/** What is typed where there is no table yet. */
const FIRST = 'first';

/**
 * What was typed before there was a conversation; it outlives the page. `tableId` null: there was no table either. What was typed then
 * belongs to the first table that is there afterwards, whoever made it.
 */
export function startDrafts(tableId: string | null, shelf?: Shelf | null): StartDrafts {
  const kept = remembered(`start.${tableId ?? FIRST}`, shelf);
  let draft = read(kept.get());
  if (tableId !== null && draft.text === '') {
    const first = remembered(`start.${FIRST}`, shelf);
    const typed = read(first.get());
    if (typed.text !== '') {
      // made by this draft, it may have the draft's conversation too: that one is not made twice
      draft = typed.tableId === tableId ? typed : { ...draft, text: typed.text };
      kept.set(JSON.stringify(draft));
      first.set(null);
    }
  }
  return {
    get: () => draft,
    setText(text) {
      draft = { ...draft, text };
      kept.set(text === '' ? null : JSON.stringify(draft));
    },
    isKept: () => draft.text.trim() === '' || kept.isKept(),
    clear() {
      draft = read(null);
      kept.set(null);
    },
  };
}

function read(kept: string | null): StartDraft {
  try {
    const found: unknown = kept === null ? null : JSON.parse(kept);
    if (isDraft(found)) return found;
  } catch {
    // what cannot be read is nothing
  }
  return { text: '', tableId: freshId(), conversationId: freshId() };
}

function isDraft(found: unknown): found is StartDraft {
  return (
    typeof found === 'object' &&
    found !== null &&
    'text' in found &&
    typeof found.text === 'string' &&
    'tableId' in found &&
    isId(found.tableId) &&
    'conversationId' in found &&
    isId(found.conversationId)
  );
}

/**
 * What was typed for a table's first conversation, when there is one by now that somebody else has made: it goes into the draft of
 * `conversationId`, before what is there.
 */
export function moveStartDraft(
  client: HoldfastClient,
  { tableId, conversationId }: { tableId: string; conversationId: string },
  shelf?: Shelf | null,
): void {
  const drafts = startDrafts(tableId, shelf);
  const { text } = drafts.get();
  if (text.trim() === '') return;
  const conversation = client.openConversation(conversationId);
  const before = conversation.draft.get();
  conversation.setDraft(before.trim() === '' ? text : `${text}\n\n${before}`);
  drafts.clear();
  setTimeout(() => conversation.release(), STAYS_OPEN_MS);
}

/** The pane opens the conversation a moment after this has let go of it. */
const STAYS_OPEN_MS = 1_000;

/**
 * Makes the table (unless `tableId` names one), a conversation in it, and hands the message to the client, which keeps it from
 * then on. Answers with the problem, after which it may be called again with the same draft; null: done.
 */
export async function startConversation(
  client: HoldfastClient,
  request: { draft: StartDraft; tableId: string | null; provider: string | null },
): Promise<Problem | null> {
  const { draft, provider } = request;
  const tableId = request.tableId ?? draft.tableId;
  const chosen = provider === null ? {} : { provider };
  if (request.tableId === null) {
    const made = await client.createTable({ tableId, title: FIRST_TABLE_TITLE, ...chosen });
    if (!made.ok) return made.problem;
  }
  const table = client.openTable(tableId);
  try {
    const { conversationId } = draft;
    const made = await table.newChat({ conversationId, ...chosen });
    if (!made.ok) return made.problem;
    const conversation = client.openConversation(conversationId);
    conversation.send({ content: draft.text });
    setTimeout(() => conversation.release(), STAYS_OPEN_MS);
    return null;
  } finally {
    table.release();
  }
}
