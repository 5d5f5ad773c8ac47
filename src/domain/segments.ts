/**
 * From what a driver reports to events of the log: segments, tools, approvals, and the attempt's one end.
 *
 * Invariants:
 *  1 At most one segment is open; a tool, another segment, a message that the turn takes in and the attempt's end close it
 *    (L5: `partial` when the attempt did not complete, with the text that was delivered).
 *  2 Each `assistant.segment.started` is followed, before the attempt's end, by exactly one `.ended`, or by one
 *    `.discarded` instead; one that was ended may still be discarded, once. Likewise each `tool.start` gets exactly one
 *    `tool.end`, each `approval.requested` exactly one `approval.resolved`.
 *  3 Message ids depend on nothing but the order of reports: a recorder rebuilt from the spool gives the same (F2).
 *  4 After the end nothing is recorded, and the end is one event (A1, C1: the one the provider really reached).
 *  5 A message is recorded as taken at most once, and only one that was offered.
 */
import type { NewEvent, PhaseName, UsageValue } from '../contracts/events.ts';
import { isId, providerMessageId } from '../contracts/ids.ts';
import type {
  ApprovalDecision,
  ProviderReport,
  SegmentKind,
  TurnUsage,
} from '../contracts/provider-events.ts';
import type { ConversationViewValue } from '../contracts/view.ts';

/** How an attempt ends when the provider did not say so itself. */
export type ForcedEnd =
  /** `boot`: of the turn host that found it dead. */
  | { outcome: 'interrupted'; cause: string; message: string; boot?: string }
  | { outcome: 'cancelled'; by: string }
  | { outcome: 'failed'; code: string; message: string };

/** Whose reports are recorded, and the clock that `approval.resolved` takes its `at` from; nothing else reads it. */
export type RecordingScope = {
  turnId: string;
  attempt: number;
  requestId: string | null;
  /** RFC 3339, UTC, milliseconds. */
  now: () => string;
};

/** One block of the provider: the rows that its text went to, as other reports came in between. */
type Block = {
  messageIds: string[];
  /** Length of the text of its closed rows. */
  closedChars: number;
  /** Its `segment.end` has come. */
  finished: boolean;
};

type OpenSegment = {
  segment: string;
  kind: SegmentKind;
  messageId: string;
  text: string;
  block: Block;
};

/** The state of one attempt's recording. Opaque to others; see {@link newRecording}. */
export type Recording = {
  /** What every event of this attempt carries. */
  place: { turnId: string; attempt: number; requestId?: string };
  now: () => string;
  /** Who asked for the cancel; null while nobody has. */
  cancelBy: string | null;
  /** Rows made so far: segments and tools. */
  messages: number;
  open: OpenSegment | null;
  /** {@link blockKey} → block, to repair it at its end and to take it back. */
  blocks: Map<string, Block>;
  openTools: Map<string, { output: string }>;
  endedTools: Set<string>;
  openApprovals: Set<string>;
  closedApprovals: Set<string>;
  /** Messages that were offered to the running turn and that it has not taken: requestId → content. */
  offered: Map<string, string>;
  toolsStarted: number;
  usage: UsageValue | null;
  ended: boolean;
};

/** Name of a tool that reported output or an end but never a start. */
const UNNAMED_TOOL = 'unknown';

/** Longest text that {@link coalesce} makes of several: one frame must stay far below a socket's high-water mark (1 MiB). */
export const COALESCED_LIMIT_CHARS = 65_536;

/** A recording of an attempt that has reported nothing yet. */
export function newRecording({ turnId, attempt, requestId, now }: RecordingScope): Recording {
  return {
    place: { turnId, attempt, ...(requestId === null ? {} : { requestId }) },
    now,
    cancelBy: null,
    messages: 0,
    open: null,
    blocks: new Map(),
    openTools: new Map(),
    endedTools: new Set(),
    openApprovals: new Set(),
    closedApprovals: new Set(),
    offered: new Map(),
    toolsStarted: 0,
    usage: null,
    ended: false,
  };
}

/**
 * What is open of the running attempt, from a snapshot, for the one purpose of {@link forceEnd}: to end an
 * attempt whose spool cannot be read any more. Null when nothing runs. Tools older than the snapshot's
 * page are not counted in `toolsStarted`.
 */
export function recordingOfView(view: ConversationViewValue, now: () => string): Recording | null {
  const turn = view.activeTurn;
  if (turn === null) return null;
  const { turnId, attempt, requestId } = turn;
  const recording = newRecording({ turnId, attempt, requestId, now });
  for (const row of view.messages) {
    if (row.turnId !== turnId || row.attempt !== attempt) continue;
    const { messageId, tool, content, status, kind } = row;
    if (tool !== undefined) {
      recording.toolsStarted += 1;
      if (status === 'open') recording.openTools.set(tool.toolCallId, { output: content });
    } else if (status === 'open' && kind !== 'tool') {
      const text = view.overlays[messageId] ?? '';
      const block: Block = { messageIds: [messageId], closedChars: 0, finished: false };
      recording.open = { segment: messageId, kind, messageId, text, block };
    }
  }
  for (const approval of view.approvals)
    if (approval.turnId === turnId) recording.openApprovals.add(approval.approvalId);
  return recording;
}

/**
 * The events of one report, in order; none when it changes nothing.
 *
 * Changes `recording` in place (a turn may have 100,000 reports). Deterministic: the same reports on a new
 * recording give the same events, `approval.resolved.at` apart.
 */
export function record(recording: Recording, report: ProviderReport): NewEvent[] {
  if (recording.ended) return [];
  const { place } = recording;
  switch (report.type) {
    case 'session':
      return [];
    case 'delta':
      return recordDelta(recording, report);
    case 'segment.end':
      return recordSegmentEnd(recording, report);
    case 'segment.discard':
      return recordDiscard(recording, report.segment, report.reason);
    case 'tool.start': {
      const { toolCallId, name, input } = report;
      // A second start of a running call tells nothing new; its row is there.
      return recording.openTools.has(toolCallId)
        ? []
        : startTool(recording, toolCallId, name, input);
    }
    case 'tool.output': {
      const { toolCallId, text } = report;
      if (text === '') return [];
      const events = ensureTool(recording, toolCallId);
      const tool = recording.openTools.get(toolCallId);
      if (tool === undefined) return events;
      tool.output += text;
      events.push({ type: 'tool.output', ...place, payload: { toolCallId, text } });
      return events;
    }
    case 'tool.end': {
      const { toolCallId, status, output } = report;
      const events = ensureTool(recording, toolCallId);
      const tool = recording.openTools.get(toolCallId);
      if (tool === undefined) return events;
      recording.openTools.delete(toolCallId);
      recording.endedTools.add(toolCallId);
      // An end that repeats nothing does not take back what was streamed (L5).
      const payload = { toolCallId, status, output: output === '' ? tool.output : output };
      events.push({ type: 'tool.end', ...place, payload });
      return events;
    }
    case 'approval':
      return recordApproval(recording, report);
    case 'approval.gone':
      return closeApproval(recording, report.approvalId, 'withdrawn', 'provider');
    case 'retrying': {
      const { attempt, delayMs, status } = report;
      return [{ type: 'chat.retrying', ...place, payload: { attempt, delayMs, status } }];
    }
    case 'usage':
      return recordUsage(recording, report.usage);
    case 'steered':
      return recordSteered(recording, report.id);
    case 'notice':
      return [{ type: 'notice', ...place, payload: { code: report.code, text: report.text } }];
    case 'end':
      return recordEnd(recording, report);
  }
}

/**
 * Ends the attempt without the provider's word: closes the open segment as `partial`, open tools as `error`
 * with their output so far, withdraws open approvals, then the one terminal event. None when it has ended.
 * Changes `recording` in place.
 */
export function forceEnd(recording: Recording, end: ForcedEnd): NewEvent[] {
  if (recording.ended) return [];
  const by = end.outcome === 'cancelled' ? end.by : 'holdfast';
  return [...closeAll(recording, 'partial', by), terminal(recording, end)];
}

/** Notes who asked for a cancel; the first one stays. Records nothing: the request was recorded by whoever took it. */
export function requestCancel(recording: Recording, by: string): void {
  recording.cancelBy ??= by;
}

/**
 * The event of an answered approval; none when that approval is not open. Whoever answers the provider calls this,
 * also when it rebuilds a recording from the spool, else the approval counts as open until the end withdraws it.
 */
export function resolveApproval(
  recording: Recording,
  answer: { approvalId: string; decision: ApprovalDecision; by: string },
): NewEvent[] {
  return recording.ended
    ? []
    : closeApproval(recording, answer.approvalId, answer.decision, answer.by);
}

/**
 * Notes a message that is offered to the provider under its requestId; records nothing, for only the provider's word
 * makes it a message of this turn. Whoever offers one calls this first, also when it rebuilds a recording from the spool.
 */
export function offerMessage(
  recording: Recording,
  { requestId, content }: { requestId: string; content: string },
): void {
  if (!recording.ended) recording.offered.set(requestId, content);
}

/** What the attempt is waiting for, by what is open. The same rule as the fold's (`fold.ts`). */
export function phaseOf(recording: Recording): PhaseName {
  if (recording.cancelBy !== null) return 'cancelling';
  if (recording.openApprovals.size > 0) return 'waiting-for-approval';
  if (recording.openTools.size > 0) return 'tool-running';
  return recording.open === null ? 'waiting-for-model' : 'streaming';
}

/**
 * The same events with neighbouring `chat.delta` of one message, and neighbouring `tool.output` of one call,
 * made one (up to {@link COALESCED_LIMIT_CHARS}). Folding both gives the same. The events given are not changed.
 */
export function coalesce(events: readonly NewEvent[]): NewEvent[] {
  const merged: NewEvent[] = [];
  for (const event of events) {
    const last = merged.at(-1);
    const joined = last === undefined ? null : joinText(last, event);
    if (joined === null) merged.push(event);
    else merged[merged.length - 1] = joined;
  }
  return merged;
}

function joinText(a: NewEvent, b: NewEvent): NewEvent | null {
  if (a.turnId !== b.turnId || a.attempt !== b.attempt) return null;
  if (a.type === 'chat.delta' && b.type === 'chat.delta') {
    const { messageId, text } = a.payload;
    if (messageId !== b.payload.messageId || isTooLong(text, b.payload.text)) return null;
    return { ...a, payload: { messageId, text: text + b.payload.text } };
  }
  if (a.type === 'tool.output' && b.type === 'tool.output') {
    const { toolCallId, text } = a.payload;
    if (toolCallId !== b.payload.toolCallId || isTooLong(text, b.payload.text)) return null;
    return { ...a, payload: { toolCallId, text: text + b.payload.text } };
  }
  return null;
}

function isTooLong(a: string, b: string): boolean {
  return a.length + b.length > COALESCED_LIMIT_CHARS;
}

/** A block is told apart by its kind too: one id may carry reasoning first and then text. */
function blockKey(kind: SegmentKind, segment: string): string {
  return `${kind}:${segment}`;
}

function recordDelta(
  recording: Recording,
  report: Extract<ProviderReport, { type: 'delta' }>,
): NewEvent[] {
  const { kind, segment, text } = report;
  if (text === '') return [];
  const { place, open } = recording;
  if (open !== null && open.segment === segment && open.kind === kind) {
    open.text += text;
    return [{ type: 'chat.delta', ...place, payload: { messageId: open.messageId, text } }];
  }
  const events: NewEvent[] = [];
  const { messageId } = openSegment(recording, report, events);
  events.push({ type: 'chat.delta', ...place, payload: { messageId, text } });
  return events;
}

function recordSegmentEnd(
  recording: Recording,
  report: Extract<ProviderReport, { type: 'segment.end' }>,
): NewEvent[] {
  const { kind, segment, text } = report;
  const { open } = recording;
  if (open !== null && open.segment === segment && open.kind === kind) {
    open.block.finished = true;
    return closeSegment(recording, 'complete', wholeText(open.text, open.block.closedChars, text));
  }
  const block = recording.blocks.get(blockKey(kind, segment));
  if (block !== undefined) {
    block.finished = true;
    return [];
  }
  if (text === '') return [];
  const events: NewEvent[] = [];
  openSegment(recording, report, events).block.finished = true;
  events.push(...closeSegment(recording, 'complete'));
  return events;
}

/**
 * The content of a block's last row. `whole` is the block's authoritative text, of which `closedChars`
 * already stand in earlier rows; where it does not continue what was streamed into this row, the streamed text stays.
 */
function wholeText(streamed: string, closedChars: number, whole: string): string {
  if (closedChars === 0) return whole === '' ? streamed : whole;
  const rest = whole.slice(closedChars);
  return rest.startsWith(streamed) ? rest : streamed;
}

function recordDiscard(recording: Recording, segment: string, reason: string): NewEvent[] {
  const { place, open } = recording;
  const events: NewEvent[] = [];
  for (const kind of ['reasoning', 'text'] as const) {
    const key = blockKey(kind, segment);
    const block = recording.blocks.get(key);
    if (block === undefined) continue;
    recording.blocks.delete(key);
    if (open?.block === block) recording.open = null;
    for (const messageId of block.messageIds)
      events.push({
        type: 'assistant.segment.discarded',
        ...place,
        payload: { messageId, reason },
      });
  }
  return events;
}

/** Opens a segment with the whole of `text` in it, after closing what is open; what is to be recorded is added to `events`. */
function openSegment(
  recording: Recording,
  { kind, segment, text }: { kind: SegmentKind; segment: string; text: string },
  events: NewEvent[],
): OpenSegment {
  events.push(...closeSegment(recording, 'complete'));
  const key = blockKey(kind, segment);
  const messageId = nextMessageId(recording);
  let block = recording.blocks.get(key);
  if (block === undefined || block.finished) {
    // The provider uses the id again: what was finished under it stays out of a later discard.
    block = { messageIds: [], closedChars: 0, finished: false };
    recording.blocks.set(key, block);
  }
  block.messageIds.push(messageId);
  const open = { segment, kind, messageId, text, block };
  recording.open = open;
  events.push({
    type: 'assistant.segment.started',
    ...recording.place,
    payload: { messageId, kind },
  });
  return open;
}

function closeSegment(
  recording: Recording,
  status: 'complete' | 'partial',
  content: string | null = null,
): NewEvent[] {
  const { open, place } = recording;
  if (open === null) return [];
  recording.open = null;
  open.block.closedChars += open.text.length;
  const payload = { messageId: open.messageId, content: content ?? open.text, status };
  return [{ type: 'assistant.segment.ended', ...place, payload }];
}

function startTool(
  recording: Recording,
  toolCallId: string,
  name: string,
  input: unknown,
): NewEvent[] {
  const events = closeSegment(recording, 'complete');
  const messageId = nextMessageId(recording);
  recording.openTools.set(toolCallId, { output: '' });
  recording.toolsStarted += 1;
  // `undefined` would vanish from the stored JSON, and `input` is not optional.
  const payload = { toolCallId, messageId, name, input: input ?? null };
  events.push({ type: 'tool.start', ...recording.place, payload });
  return events;
}

/** Starts a tool that was never started; nothing for a running one, nor for one that has ended. */
function ensureTool(recording: Recording, toolCallId: string): NewEvent[] {
  const known = recording.openTools.has(toolCallId) || recording.endedTools.has(toolCallId);
  return known ? [] : startTool(recording, toolCallId, UNNAMED_TOOL, null);
}

function recordApproval(
  recording: Recording,
  report: Extract<ProviderReport, { type: 'approval' }>,
): NewEvent[] {
  const { place } = recording;
  const { approvalId, toolCallId, title, input, options } = report;
  if (recording.openApprovals.has(approvalId)) return [];
  if (!isId(approvalId) || recording.closedApprovals.has(approvalId)) {
    // Not answerable through any route: said aloud, or the turn would wait and nobody could see for what.
    const text = `The provider asks for an approval under an id that cannot be answered: ${title}`;
    return [{ type: 'notice', ...place, payload: { code: 'approval_unusable', text } }];
  }
  recording.openApprovals.add(approvalId);
  return [
    {
      type: 'approval.requested',
      ...place,
      payload: {
        approvalId,
        ...(toolCallId === undefined ? {} : { toolCallId }),
        title,
        input: input ?? null,
        options,
      },
    },
  ];
}

function closeApproval(
  recording: Recording,
  approvalId: string,
  decision: ApprovalDecision | 'withdrawn',
  by: string,
): NewEvent[] {
  if (!recording.openApprovals.delete(approvalId)) return [];
  recording.closedApprovals.add(approvalId);
  const payload = { approvalId, decision, by, at: recording.now() };
  return [{ type: 'approval.resolved', ...recording.place, payload }];
}

/** The message becomes one of the running turn, under its own requestId. Nothing when it was not offered, or was taken before. */
function recordSteered(recording: Recording, requestId: string): NewEvent[] {
  const content = recording.offered.get(requestId);
  if (content === undefined) return [];
  recording.offered.delete(requestId);
  const { turnId, attempt } = recording.place;
  const place = { turnId, attempt, requestId };
  return [
    ...closeSegment(recording, 'complete'),
    {
      type: 'message.created',
      ...place,
      payload: { messageId: nextMessageId(recording), role: 'user', content },
    },
    { type: 'chat.steered', ...place, payload: { turnId, attempt } },
  ];
}

function recordUsage(recording: Recording, increment: TurnUsage): NewEvent[] {
  recording.usage = addUsage(recording.usage, increment);
  return [{ type: 'usage', ...recording.place, payload: increment }];
}

/** The sum of two usages; a cost only when one of them has one. */
export function addUsage(sum: UsageValue | null, increment: UsageValue): UsageValue {
  if (sum === null) return increment;
  const inputTokens = sum.inputTokens + increment.inputTokens;
  const outputTokens = sum.outputTokens + increment.outputTokens;
  if (sum.costUsd === undefined && increment.costUsd === undefined)
    return { inputTokens, outputTokens };
  return { inputTokens, outputTokens, costUsd: (sum.costUsd ?? 0) + (increment.costUsd ?? 0) };
}

function recordEnd(
  recording: Recording,
  report: Extract<ProviderReport, { type: 'end' }>,
): NewEvent[] {
  const { end, usage } = report;
  const status = end.outcome === 'completed' ? 'complete' : 'partial';
  const events = closeAll(recording, status, 'provider');
  if (usage !== undefined) events.push(...recordUsage(recording, usage));
  const by = recording.cancelBy ?? 'provider';
  events.push(terminal(recording, end.outcome === 'cancelled' ? { ...end, by } : end));
  return events;
}

function terminal(recording: Recording, end: ForcedEnd | { outcome: 'completed' }): NewEvent {
  const { place, toolsStarted } = recording;
  const usage = recording.usage === null ? {} : { usage: recording.usage };
  switch (end.outcome) {
    case 'completed':
      return { type: 'chat.done', ...place, payload: usage };
    case 'failed': {
      const { code, message } = end;
      return { type: 'chat.error', ...place, payload: { code, message, ...usage } };
    }
    case 'cancelled':
      return { type: 'chat.cancelled', ...place, payload: { by: end.by, ...usage } };
    case 'interrupted': {
      const { cause, message, boot } = end;
      const found = boot === undefined ? {} : { boot };
      const payload = { cause, retryable: true, message, toolsStarted, ...found };
      return { type: 'chat.interrupted', ...place, payload };
    }
  }
}

/** Closes all that is open and the recording itself. */
function closeAll(recording: Recording, status: 'complete' | 'partial', by: string): NewEvent[] {
  const { place } = recording;
  const events = closeSegment(recording, status);
  for (const [toolCallId, { output }] of recording.openTools)
    events.push({ type: 'tool.end', ...place, payload: { toolCallId, status: 'error', output } });
  recording.openTools.clear();
  for (const approvalId of recording.openApprovals)
    events.push(...closeApproval(recording, approvalId, 'withdrawn', by));
  recording.ended = true;
  return events;
}

function nextMessageId(recording: Recording): string {
  const { turnId, attempt } = recording.place;
  recording.messages += 1;
  return providerMessageId(turnId, attempt, recording.messages);
}
