/**
 * The rows of a conversation, made of its messages and of what stands between them.
 *
 * Invariants:
 *  1 A row that did not change is the same object; keys are those of what the row is of.
 *  2 {@link RowList.update} with what has changed makes the same rows as {@link RowList.build}, and its work does not grow with the
 *    number of messages, but for copying references.
 *  3 Blocks with nothing to show, segments that were taken back, and attempts that a later one has followed are no rows.
 */
import type {
  ApprovalViewValue,
  ConversationViewValue,
  MessageViewValue,
} from '../../src/contracts/view.ts';
import type { CutBlock } from './blocks.ts';
import type { ApprovalAnswer, Note, Row, TurnInfo, Unsent } from './contract.ts';

/** What stands behind a message. `turnId`, `attempt`: of whose; it is shown with that attempt. */
export type Placed = {
  turnId: string | null;
  attempt: number | null;
} & ({ note: Note } | { approval: ApprovalViewValue });

/** Blocks of a message, as they are now. */
export type MessageBlocks = { sealed: readonly CutBlock[]; open: CutBlock | null };

/** Everything that rows are made of. */
export type RowSources = {
  view: ConversationViewValue;
  blocksOf: (message: MessageViewValue) => MessageBlocks;
  turn: (turnId: string) => TurnInfo | undefined;
  /** The attempt that somebody chose to see; undefined: the newest. */
  chosenAttempt: (turnId: string) => number | undefined;
  isCutOpen: (key: string) => boolean;
  /** By the message behind which it stands; '' for before all of them. */
  placed: ReadonlyMap<string, readonly Placed[]>;
  /** Of the tool's call in that attempt. */
  approvalOf: (message: MessageViewValue) => ApprovalViewValue | null;
  answerOf: (approvalId: string) => ApprovalAnswer | null;
  /** Whether the approval is shown in its tool's row. */
  hasTool: (approval: ApprovalViewValue, attempt: number | null) => boolean;
  /** When a segment or a tool has ended, as far as that is known; in the server's time. */
  endedAtMs: (messageId: string) => number | null;
  clockOffsetMs: number;
  unsent: readonly Unsent[];
};

/** A message's rows in the list. `from`: where they are. */
type Slot = { messageId: string; index: number; from: number; rows: readonly Row[] };

export class RowList {
  #rows: readonly Row[] = [];
  #slots = new Map<string, Slot>();
  /** In order. */
  #order: Slot[] = [];
  /** Rows that are no message's, by their key. */
  #others = new Map<string, Row>();

  get rows(): readonly Row[] {
    return this.#rows;
  }

  /** All rows anew. */
  build(sources: RowSources): readonly Row[] {
    const { messages } = sources.view;
    const shown = new ShownAttempts(sources);
    const ends = turnEnds(sources, shown);
    const slots = new Map<string, Slot>();
    const order: Slot[] = [];
    const others = new Map<string, Row>();
    const rows: Row[] = [];
    const other = (row: Row): void => {
      const same = kept(this.#others.get(row.key), row);
      others.set(row.key, same);
      rows.push(same);
    };
    const placeBehind = (messageId: string): void => {
      for (const placed of sources.placed.get(messageId) ?? []) {
        if (placed.turnId !== null && !shown.has(placed.turnId, placed.attempt)) continue;
        if ('note' in placed) other({ key: placed.note.key, type: 'note', note: placed.note });
        else if (!sources.hasTool(placed.approval, placed.attempt))
          other({
            key: `approval.${placed.approval.approvalId}`,
            type: 'approval',
            approval: placed.approval,
            answer: sources.answerOf(placed.approval.approvalId),
          });
      }
    };
    placeBehind('');
    let isHidden = false;
    for (const [index, message] of messages.entries()) {
      const { messageId, cut } = message;
      if (cut === undefined) {
        isHidden = false;
      } else if (messages[index - 1]?.cut === undefined) {
        const key = `cut.${messageId}`;
        const isOpen = sources.isCutOpen(key);
        isHidden = !isOpen;
        other({ key, type: 'cut', count: cutCount(messages, index), isOpen });
      }
      if (isHidden) continue;
      if (shown.isShown(message)) {
        const known = this.#slots.get(messageId);
        const own = rowsOf(message, sources, known?.rows ?? []);
        const slot: Slot = { messageId, index, from: rows.length, rows: own };
        slots.set(messageId, slot);
        order.push(slot);
        for (const row of own) rows.push(row);
      }
      placeBehind(messageId);
      for (const end of ends.get(messageId) ?? []) other(end);
    }
    for (const unsent of sources.unsent)
      other({ key: `unsent.${unsent.requestId}`, type: 'unsent', unsent });
    this.#slots = slots;
    this.#order = order;
    this.#others = others;
    this.#rows = sameList(this.#rows, rows);
    return this.#rows;
  }

  /** The rows after nothing but the contents of these messages have changed. */
  update(sources: RowSources, changed: ReadonlySet<string>): readonly Row[] {
    const slots: Slot[] = [];
    for (const messageId of changed) {
      const slot = this.#slots.get(messageId);
      const message = slot === undefined ? undefined : sources.view.messages[slot.index];
      if (slot === undefined || message === undefined) continue;
      const rows = rowsOf(message, sources, slot.rows);
      if (rows !== slot.rows) slots.push({ ...slot, rows });
    }
    if (slots.length === 0) return this.#rows;
    slots.sort((one, other) => one.from - other.from);
    const pieces: (readonly Row[])[] = [];
    let place = 0;
    for (const slot of slots) {
      const old = this.#slots.get(slot.messageId);
      if (old === undefined) continue;
      pieces.push(this.#rows.slice(place, old.from), slot.rows);
      place = old.from + old.rows.length;
    }
    // Copied as a whole: a loop over ten thousand rows would be most of the frame's work.
    pieces.push(this.#rows.slice(place));
    const none: readonly Row[] = [];
    const rows = none.concat(...pieces);
    for (const slot of slots) this.#grow(slot);
    this.#rows = rows;
    return rows;
  }

  /** Puts the slot in place of what it was, and moves those behind it: there are few, as what changes is at the end. */
  #grow(slot: Slot): void {
    const old = this.#slots.get(slot.messageId);
    if (old === undefined) return;
    const by = slot.rows.length - old.rows.length;
    old.rows = slot.rows;
    if (by === 0) return;
    for (let place = this.#order.length - 1; place >= 0; place -= 1) {
      const each = this.#order[place];
      if (each === undefined || each === old) break;
      each.from += by;
    }
  }
}

/** All rows of one attempt, and its end. */
export function rowsOfAttempt(
  sources: RowSources,
  { turnId, attempt }: { turnId: string; attempt: number },
  known: ReadonlyMap<string, Row>,
): readonly Row[] {
  const rows: Row[] = [];
  for (const message of sources.view.messages) {
    if (message.turnId !== turnId || message.attempt !== attempt) continue;
    if (message.status === 'discarded') continue;
    for (const row of rowsOf(message, sources, [])) rows.push(kept(known.get(row.key), row));
  }
  const turn = sources.turn(turnId);
  const end = turn?.attempts.find((each) => each.attempt === attempt);
  if (turn !== undefined && end !== undefined) {
    const row = turnEnd(turn, end, isPartial(sources.view, turnId, attempt));
    rows.push(kept(known.get(row.key), row));
  }
  return rows;
}

/** Which attempt of each turn is shown. */
class ShownAttempts {
  readonly #newest = new Map<string, number>();
  readonly #sources: RowSources;

  constructor(sources: RowSources) {
    this.#sources = sources;
    const { messages, activeTurn } = sources.view;
    for (const { turnId, attempt } of messages) this.#count(turnId, attempt);
    if (activeTurn !== null) this.#count(activeTurn.turnId, activeTurn.attempt);
  }

  #count(turnId: string | null, attempt: number | null): void {
    if (turnId === null || attempt === null) return;
    this.#newest.set(turnId, Math.max(attempt, this.#newest.get(turnId) ?? 0));
  }

  of(turnId: string): number {
    const newest = Math.max(
      this.#newest.get(turnId) ?? 0,
      this.#sources.turn(turnId)?.attempts.at(-1)?.attempt ?? 0,
    );
    const chosen = this.#sources.chosenAttempt(turnId);
    return chosen === undefined ? newest : chosen;
  }

  has(turnId: string, attempt: number | null): boolean {
    return attempt === null || this.of(turnId) === attempt;
  }

  isShown({ turnId, attempt, status }: MessageViewValue): boolean {
    return status !== 'discarded' && (turnId === null || this.has(turnId, attempt));
  }
}

/** The rows that end an attempt, by the message behind which they stand. */
function turnEnds(sources: RowSources, shown: ShownAttempts): Map<string, Row[]> {
  const places = new Map<string, { messageId: string; isOwn: boolean; isPartial: boolean }>();
  for (const { turnId, attempt, messageId, status } of sources.view.messages) {
    if (turnId === null) continue;
    const isOwn = attempt !== null && shown.has(turnId, attempt);
    const known = places.get(turnId);
    // An attempt that has said nothing ends behind whatever there is of its turn.
    if (known !== undefined && known.isOwn && !isOwn) continue;
    const wasPartial = known?.isOwn === true && known.isPartial;
    places.set(turnId, {
      messageId,
      isOwn,
      isPartial: wasPartial || (isOwn && status === 'partial'),
    });
  }
  const ends = new Map<string, Row[]>();
  for (const [turnId, place] of places) {
    const turn = sources.turn(turnId);
    const number = shown.of(turnId);
    const attempt = turn?.attempts.find((each) => each.attempt === number);
    if (turn === undefined || attempt === undefined) continue;
    if (attempt.outcome === null && turn.attempts.length === 1) continue;
    const row = turnEnd(turn, attempt, place.isPartial);
    ends.set(place.messageId, [...(ends.get(place.messageId) ?? []), row]);
  }
  return ends;
}

function turnEnd(turn: TurnInfo, attempt: TurnInfo['attempts'][number], partial: boolean): Row {
  const key = `end.${turn.turnId}.${attempt.attempt}`;
  const ended = attempt.outcome !== null && attempt.outcome !== 'completed';
  return { key, type: 'turn-end', turn, attempt, isPartial: partial && ended };
}

function isPartial({ messages }: ConversationViewValue, turnId: string, attempt: number): boolean {
  return messages.some(
    (message) =>
      message.turnId === turnId && message.attempt === attempt && message.status === 'partial',
  );
}

function cutCount(messages: readonly MessageViewValue[], from: number): number {
  let count = 0;
  for (let index = from; index < messages.length; index += 1) {
    const message = messages[index];
    if (message?.cut === undefined) break;
    if (message.status !== 'discarded') count += 1;
  }
  return count;
}

/** The rows of one message; those of `known` where they are the same, and `known` itself where all are. */
function rowsOf(
  message: MessageViewValue,
  sources: RowSources,
  known: readonly Row[],
): readonly Row[] {
  const { messageId, role, kind, tool } = message;
  const [first] = known;
  // What is whole does not change but with its message.
  if (first !== undefined && message.status !== 'open')
    if (first.type === 'user' || first.type === 'system' || first.type === 'block')
      if (first.message === message) return known;
  if (role === 'user' || role === 'system')
    return single(known, { key: messageId, type: role, message });
  if (tool !== undefined || role === 'tool') {
    const approval = sources.approvalOf(message);
    return single(known, {
      key: messageId,
      type: 'tool',
      message,
      startedAtMs: Date.parse(message.at) - sources.clockOffsetMs,
      tookMs: tookMs(message, sources),
      approval,
      answer: approval === null ? null : sources.answerOf(approval.approvalId),
    });
  }
  if (kind === 'reasoning') {
    const isOpen = message.status === 'open';
    const text = isOpen ? overlayOf(sources.view, messageId) : message.content;
    if (text === '' && !isOpen) return known.length === 0 ? known : [];
    return single(known, {
      key: messageId,
      type: 'reasoning',
      message,
      text,
      isOpen,
      tookMs: tookMs(message, sources),
    });
  }
  return blockRows(message, sources.blocksOf(message), known);
}

function blockRows(
  message: MessageViewValue,
  { sealed, open }: MessageBlocks,
  known: readonly Row[],
): readonly Row[] {
  const isOpen = message.status === 'open';
  // As long as the message is the same, every row but the last one is what it was: only what came is looked at.
  const first = known[0];
  const goesOn =
    first?.type === 'block' && first.message === message && known.length > 1 ? known.length - 1 : 0;
  const rows: Row[] = known.slice(0, goesOn);
  const before = goesOn === 0 ? undefined : rows.at(-1);
  let place = before?.type === 'block' ? placeOf(sealed, before.block) + 1 : 0;
  if (before !== undefined && place === 0) rows.length = 0;
  for (; place <= sealed.length; place += 1) {
    const block = place < sealed.length ? sealed[place] : open;
    if (block === null || block === undefined) continue;
    if (block.text.trim() === '') {
      const behind = rows.at(-1);
      if (block.fence !== undefined && behind?.type === 'block' && behind.isFenceEnd !== true)
        rows[rows.length - 1] = { ...behind, isFenceEnd: true };
      continue;
    }
    rows.push({
      key: block.key,
      type: 'block',
      message,
      block,
      isFirst: rows.length === 0,
      isLast: false,
      isOpen,
    });
  }
  const last = rows.at(-1);
  if (last?.type === 'block') rows[rows.length - 1] = { ...last, isLast: true };
  for (let index = goesOn; index < rows.length; index += 1) {
    const row = rows[index];
    if (row !== undefined) rows[index] = kept(known[index], row);
  }
  return sameList(known, rows);
}

/** Where a block is in the list that its key counts. */
function placeOf(sealed: readonly CutBlock[], block: { key: string }): number {
  const place = Number(block.key.slice(block.key.lastIndexOf('.') + 1));
  return sealed[place] === block ? place : -1;
}

/** How long it took; null: it is open, or its end was not seen. */
function tookMs({ messageId, at, status }: MessageViewValue, sources: RowSources): number | null {
  if (status === 'open') return null;
  const endedAtMs = sources.endedAtMs(messageId);
  return endedAtMs === null ? null : Math.max(0, endedAtMs - Date.parse(at));
}

function overlayOf({ overlays }: ConversationViewValue, messageId: string): string {
  return Object.hasOwn(overlays, messageId) ? (overlays[messageId] ?? '') : '';
}

function single(known: readonly Row[], row: Row): readonly Row[] {
  const same = kept(known[0], row);
  return known.length === 1 && same === known[0] ? known : [same];
}

/** `known`, where it says the same. */
function kept(known: Row | undefined, row: Row): Row {
  return known !== undefined && isSame(known, row) ? known : row;
}

/** Whether all members are the same values: their own parts are shared where they did not change. */
function isSame(one: object, other: object): boolean {
  const names = Object.keys(one);
  if (names.length !== Object.keys(other).length) return false;
  for (const name of names)
    if (!Object.is(Reflect.get(one, name), Reflect.get(other, name))) return false;
  return true;
}

function sameList(known: readonly Row[], rows: readonly Row[]): readonly Row[] {
  return known.length === rows.length && rows.every((row, index) => row === known[index])
    ? known
    : rows;
}
