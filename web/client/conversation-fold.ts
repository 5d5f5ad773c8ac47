/**
 * One conversation as a page shows it: the fold of its snapshot and events, and what rows need beside it.
 *
 * Invariants:
 *  L4 the view is the fold of the log up to its `lastSeq`, whatever pieces, resets and older pages it came in.
 *  1 The work for a batch of events grows with the batch, not with the conversation (but for copying references).
 *  2 A snapshot in place of what was known changes no object of what is the same in it.
 */
import type { Event } from '../../src/contracts/events.ts';
import type {
  ApprovalViewValue,
  ConversationViewValue,
  MessageViewValue,
  TurnViewValue,
} from '../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import { BlockCutter, blocksOf } from './blocks.ts';
import type { ApprovalAnswer, Row, TurnInfo, Unsent, Work } from './contract.ts';
import { noteOf } from './notes.ts';
import { RowList, rowsOfAttempt, type Placed, type RowSources } from './rows.ts';
import { TurnBook } from './turn-book.ts';
import { WorkFold } from './work-fold.ts';

/** Events after which all rows but those of one message are what they were. */
const CONTENT_ONLY: ReadonlySet<string> = new Set([
  'chat.delta',
  'tool.output',
  'chat.quiet',
  'chat.cancelling',
  'conversation.updated',
]);

/** Blocks of a message, and of which text they are. `content` null: of one that is open. */
type Cut = { cutter: BlockCutter; content: string | null };

export class ConversationFold {
  #view: ConversationViewValue;
  readonly #turns = new TurnBook();
  readonly #work = new WorkFold();
  readonly #list = new RowList();
  readonly #cuts = new Map<string, Cut>();
  readonly #placed = new Map<string, Placed[]>();
  /** Keys of what is placed. */
  readonly #placedKeys = new Set<string>();
  readonly #answers = new Map<string, ApprovalAnswer>();
  /** By call: the newest approval that was asked for it. */
  readonly #approvals = new Map<string, ApprovalViewValue>();
  /** By call: its newest row. */
  readonly #tools = new Map<string, string>();
  readonly #endedAtMs = new Map<string, number>();
  /** requestIds of messages whose event was seen. */
  readonly #written = new Set<string>();
  readonly #chosen = new Map<string, number>();
  readonly #openCuts = new Set<string>();
  readonly #attempts = new Map<string, readonly Row[]>();
  #lastMessageId = '';
  #heardAtMs: number | null = null;
  #clockOffsetMs = 0;
  #unsent: readonly Unsent[] = [];

  constructor(conversationId: string) {
    this.#view = emptyView(conversationId);
  }

  get view(): ConversationViewValue {
    return this.#view;
  }

  get rows(): readonly Row[] {
    return this.#list.rows;
  }

  get work(): Work | null {
    const turn = this.#view.activeTurn;
    const attempts = turn === null ? undefined : this.#turns.get(turn.turnId)?.attempts;
    const usage = attempts?.find((each) => each.attempt === turn?.attempt)?.usage ?? null;
    return this.#work.work(this.#view, this.#clockOffsetMs, usage);
  }

  turn(turnId: string): TurnInfo | undefined {
    return this.#turns.get(turnId);
  }

  /** What is known of turns is older than the view. */
  get areTurnsBehind(): boolean {
    return this.#turns.isBehind(this.#view);
  }

  setClock(offsetMs: number): void {
    if (offsetMs === this.#clockOffsetMs) return;
    this.#clockOffsetMs = offsetMs;
    this.#build();
  }

  setUnsent(unsent: readonly Unsent[]): void {
    if (unsent === this.#unsent) return;
    this.#unsent = unsent;
    this.#build();
  }

  loadTurns(turns: readonly TurnViewValue[]): void {
    const changed = this.#turns.load(turns);
    if (this.#turns.settle(this.#view) || changed) this.#build();
  }

  /** In place of whatever was known. */
  begin(snapshot: ConversationViewValue): void {
    this.#view = adopted(this.#view, snapshot);
    const { messages, approvals, activeTurn } = this.#view;
    this.#lastMessageId = messages.at(-1)?.messageId ?? '';
    this.#heardAtMs = activeTurn === null ? null : Date.parse(activeTurn.lastActivityAt);
    const known = new Set(messages.map(({ messageId }) => messageId));
    for (const messageId of this.#cuts.keys())
      if (!known.has(messageId)) this.#cuts.delete(messageId);
      else this.#catchUp(messageId);
    for (const message of messages) {
      const { tool, turnId, attempt, messageId } = message;
      if (tool !== undefined) this.#tools.set(callKey(turnId, attempt, tool.toolCallId), messageId);
    }
    for (const approval of approvals) {
      const attempt = activeTurn?.turnId === approval.turnId ? activeTurn.attempt : null;
      this.#ask(approval, attempt, lastOfTurn(messages, approval.turnId));
    }
    this.#work.begin(this.#view);
    this.#turns.begin();
    this.#turns.settle(this.#view);
    this.#build();
  }

  /** Events that follow the view. Answers with those that were new to it. */
  apply(events: readonly Event[]): void {
    const changed = new Set<string>();
    let isContent = true;
    for (const event of events) {
      if (event.seq <= this.#view.lastSeq) continue;
      isContent &&= CONTENT_ONLY.has(event.type);
      this.#note(event, this.#lastMessageId);
      this.#cut(event);
      this.#work.apply(event);
      if (this.#turns.apply(event)) isContent = false;
      if (event.type === 'chat.delta') changed.add(event.payload.messageId);
      if (event.type === 'tool.output') {
        const { toolCallId } = event.payload;
        const row = this.#tools.get(callKey(event.turnId, event.attempt, toolCallId));
        if (row !== undefined) changed.add(row);
      }
    }
    const view = foldEvents(this.#view, events);
    if (view === this.#view) return;
    this.#view = view;
    if (this.#turns.settle(view)) isContent = false;
    if (isContent) this.#list.update(this.#sources(), changed);
    else this.#build();
  }

  /** Events of before the snapshot: they say what it does not. */
  recall(events: readonly Event[]): void {
    const [lastMessageId, heardAtMs] = [this.#lastMessageId, this.#heardAtMs];
    this.#heardAtMs = null;
    for (const event of events) this.#note(event, this.#placeAt(event.at));
    this.#lastMessageId = lastMessageId;
    this.#heardAtMs = heardAtMs;
    this.#work.recall(events);
    this.#build();
  }

  /** Older messages, oldest first, before those of the view. */
  prepend(messages: readonly MessageViewValue[], hasOlder: boolean): void {
    const known = new Set(this.#view.messages.map(({ messageId }) => messageId));
    const older = messages.filter(({ messageId }) => !known.has(messageId));
    this.#view = { ...this.#view, messages: [...older, ...this.#view.messages], hasOlder };
    for (const { tool, turnId, attempt, messageId } of older)
      if (tool !== undefined) this.#tools.set(callKey(turnId, attempt, tool.toolCallId), messageId);
    this.#turns.settle(this.#view);
    this.#build();
  }

  showAttempt(turnId: string, attempt: number | null): void {
    if (attempt === null) this.#chosen.delete(turnId);
    else this.#chosen.set(turnId, attempt);
    this.#build();
  }

  showCut(key: string, isOpen: boolean): void {
    if (isOpen) this.#openCuts.add(key);
    else this.#openCuts.delete(key);
    this.#build();
  }

  /** The same list as before, where it is the same. */
  rowsOfAttempt(turnId: string, attempt: number): readonly Row[] {
    const key = `${turnId}.${attempt}`;
    const known = this.#attempts.get(key) ?? [];
    const byKey = new Map([...this.#list.rows, ...known].map((row) => [row.key, row]));
    const rows = rowsOfAttempt(this.#sources(), { turnId, attempt }, byKey);
    if (rows.length === known.length && rows.every((row, index) => row === known[index]))
      return known;
    this.#attempts.set(key, rows);
    return rows;
  }

  #build(): void {
    this.#list.build(this.#sources());
  }

  #sources(): RowSources {
    return {
      view: this.#view,
      blocksOf: (message) => this.#blocksOf(message),
      turn: (turnId) => this.#turns.get(turnId),
      chosenAttempt: (turnId) => this.#chosen.get(turnId),
      isCutOpen: (key) => this.#openCuts.has(key),
      placed: this.#placed,
      approvalOf: ({ turnId, attempt, tool, messageId }) => {
        if (tool === undefined) return null;
        const key = callKey(turnId, attempt, tool.toolCallId);
        return this.#tools.get(key) === messageId ? (this.#approvals.get(key) ?? null) : null;
      },
      answerOf: (approvalId) => this.#answers.get(approvalId) ?? null,
      hasTool: ({ turnId, toolCallId }, attempt) =>
        toolCallId !== undefined && this.#tools.has(callKey(turnId, attempt, toolCallId)),
      endedAtMs: (messageId) => this.#endedAtMs.get(messageId) ?? null,
      clockOffsetMs: this.#clockOffsetMs,
      unsent: this.#unsent,
    };
  }

  #blocksOf(message: MessageViewValue): {
    sealed: BlockCutter['sealed'];
    open: BlockCutter['open'];
  } {
    const { messageId, status, content } = message;
    const known = this.#cuts.get(messageId);
    if (
      known !== undefined &&
      (status === 'open' ? known.content === null : known.content === content)
    )
      return known.cutter;
    const reusable = known?.cutter.sealed ?? [];
    if (status !== 'open') {
      const cutter = blocksOf(messageId, content, reusable);
      this.#cuts.set(messageId, { cutter, content });
      return cutter;
    }
    const cutter = new BlockCutter(messageId, reusable);
    const { overlays } = this.#view;
    if (Object.hasOwn(overlays, messageId)) cutter.append(overlays[messageId] ?? '');
    this.#cuts.set(messageId, { cutter, content: null });
    return cutter;
  }

  /** Blocks of a message that was open are those of its text in the view: between the two some may have been missed. */
  #catchUp(messageId: string): void {
    const cut = this.#cuts.get(messageId);
    if (cut?.content !== null) return;
    const text = this.#view.overlays[messageId] ?? '';
    const source = cut.cutter
      .blocks()
      .map((block) => block.source)
      .join('');
    if (source === text) return;
    const cutter = new BlockCutter(messageId, cut.cutter.sealed);
    cutter.append(text);
    this.#cuts.set(messageId, { cutter, content: null });
  }

  /** Keeps the blocks of an open message with its text. */
  #cut(event: Event): void {
    switch (event.type) {
      case 'assistant.segment.started':
        if (event.payload.kind === 'text') {
          const { messageId } = event.payload;
          this.#cuts.set(messageId, { cutter: new BlockCutter(messageId), content: null });
        }
        return;
      case 'chat.delta': {
        const cut = this.#cuts.get(event.payload.messageId);
        if (cut?.content === null) cut.cutter.append(event.payload.text);
        return;
      }
      case 'assistant.segment.ended': {
        const { messageId, content } = event.payload;
        const cut = this.#cuts.get(messageId);
        if (cut?.content !== null) return;
        cut.cutter.end();
        // What was streamed is most often all of it; else it is cut anew.
        if (isTextOf(cut.cutter, content)) cut.content = content;
        return;
      }
      case 'assistant.segment.discarded':
        this.#cuts.delete(event.payload.messageId);
        return;
      default:
    }
  }

  /** What an event says that is not in the view. `behind`: the message that was the last one then. */
  #note(event: Event, behind: string): void {
    const { turnId = null, attempt = null, requestId } = event;
    const note = noteOf(event, {
      silentSinceMs: this.#heardAtMs,
      isOwnMessage: requestId !== undefined && this.#written.has(requestId),
    });
    if (note !== null) this.#place(note.key, behind, { turnId, attempt, note });
    if (turnId !== null && event.type !== 'chat.quiet') this.#heardAtMs = Date.parse(event.at);
    switch (event.type) {
      case 'message.created':
        this.#lastMessageId = event.payload.messageId;
        if (requestId !== undefined) this.#written.add(requestId);
        return;
      case 'message.copied':
      case 'assistant.segment.started':
        this.#lastMessageId = event.payload.messageId;
        return;
      case 'tool.start': {
        const { messageId, toolCallId } = event.payload;
        this.#lastMessageId = messageId;
        this.#tools.set(callKey(turnId, attempt, toolCallId), messageId);
        return;
      }
      case 'assistant.segment.ended':
        this.#endedAtMs.set(event.payload.messageId, Date.parse(event.at));
        return;
      case 'tool.end': {
        const row = this.#tools.get(callKey(turnId, attempt, event.payload.toolCallId));
        if (row !== undefined) this.#endedAtMs.set(row, Date.parse(event.at));
        return;
      }
      case 'approval.requested':
        if (turnId !== null) this.#ask({ ...event.payload, turnId, at: event.at }, attempt, behind);
        return;
      case 'approval.resolved': {
        const { approvalId, decision, by, at } = event.payload;
        this.#answers.set(approvalId, { decision, by, at });
        return;
      }
      default:
    }
  }

  #ask(approval: ApprovalViewValue, attempt: number | null, behind: string): void {
    const { approvalId, turnId, toolCallId } = approval;
    if (toolCallId !== undefined)
      this.#approvals.set(callKey(turnId, attempt, toolCallId), approval);
    // Also of one with a call: its tool may not have begun, and may never do so.
    this.#place(`approval.${approvalId}`, behind, { turnId, attempt, approval });
  }

  #place(key: string, behind: string, placed: Placed): void {
    if (this.#placedKeys.has(key)) return;
    this.#placedKeys.add(key);
    this.#placed.set(behind, [...(this.#placed.get(behind) ?? []), placed]);
  }

  /** The message that was the last one at that time. */
  #placeAt(at: string): string {
    return this.#view.messages.findLast((message) => message.at <= at)?.messageId ?? '';
  }
}

function callKey(
  turnId: string | null | undefined,
  attempt: number | null | undefined,
  toolCallId: string,
): string {
  return `${turnId ?? ''}.${attempt ?? ''}.${toolCallId}`;
}

function lastOfTurn(messages: readonly MessageViewValue[], turnId: string): string {
  const last = messages.findLast((message) => message.turnId === turnId) ?? messages.at(-1);
  return last?.messageId ?? '';
}

function isTextOf({ sealed }: BlockCutter, content: string): boolean {
  let place = 0;
  for (const { source } of sealed) {
    if (!content.startsWith(source, place)) return false;
    place += source.length;
  }
  return place === content.length;
}

/**
 * The snapshot with the objects of `known` where they are the same, and with the older messages that `known` has before it, unless
 * they may have been cut in between.
 */
function adopted(
  known: ConversationViewValue,
  snapshot: ConversationViewValue,
): ConversationViewValue {
  const old = new Map(known.messages.map((message) => [message.messageId, message]));
  const messages = snapshot.messages.map((message) => {
    const same = old.get(message.messageId);
    return same !== undefined && isSameMessage(same, message) ? same : message;
  });
  const [first] = messages;
  const place =
    first === undefined
      ? -1
      : known.messages.findIndex(({ messageId }) => messageId === first.messageId);
  // A cut that reaches this far back may reach further.
  const isCutSince = first?.cut === true && known.messages[place]?.cut !== true;
  if (place <= 0 || isCutSince || !snapshot.hasOlder) return { ...snapshot, messages };
  return {
    ...snapshot,
    messages: [...known.messages.slice(0, place), ...messages],
    hasOlder: known.hasOlder,
  };
}

function isSameMessage(one: MessageViewValue, other: MessageViewValue): boolean {
  return (
    one.content === other.content &&
    one.status === other.status &&
    one.cut === other.cut &&
    one.at === other.at &&
    one.turnId === other.turnId &&
    one.attempt === other.attempt &&
    one.tool?.status === other.tool?.status &&
    JSON.stringify([one.tool, one.mail]) === JSON.stringify([other.tool, other.mail])
  );
}
