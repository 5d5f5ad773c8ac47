/**
 * Driver of Claude Code, by its stream-json protocol in both directions (provider-facts.md section 2.1).
 *
 * Invariants:
 *  1 The same calls give the same frames and reports: no clock, no chance, no file.
 *  2 Nothing is reported before `begin`, after the end, or between two turns. Claude Code also takes turns by itself (a
 *    finished background task wakes it), and our message waits for their end: what they write is no part of ours.
 *    Only what they used is counted, with our next turn, and what they ask is asked in it.
 *  3 It never throws on what Claude Code wrote. What cannot be read becomes a notice, what is not known is left out.
 *  4 Text is taken back only when something else comes in its place: what a cut-off answer leaves stays when the turn
 *    ends with it, and an interrupt takes nothing back.
 *  5 A sub-agent's stream is its own: nothing of it is mixed into the text or the tools of the turn.
 *  6 Usage and cost are those of the turn, though Claude Code's own totals run over the session.
 *  7 A message for the running turn is either taken into it or never started on. Claude Code takes what waits at the next
 *    boundary of a tool; what still waits at its result it starts on at once, as a turn of its own. That turn is then
 *    part of ours, whose end is the last result: a message that was handed over cannot be taken back without a race.
 */
import { createHash } from 'node:crypto';

import { isId } from '../../contracts/ids.ts';
import type {
  ApprovalDecision,
  ProviderDriver,
  ProviderOutcome,
  ProviderReport,
  SegmentKind,
  SessionSpec,
  ToolStatus,
  TurnPrompt,
  TurnUsage,
} from '../../contracts/provider-events.ts';
import {
  amountOf,
  type Fields,
  fieldsOf,
  listOf,
  parseFields,
  textOf,
  unreadableLine,
} from '../json-fields.ts';
import { readFailure } from './failure.ts';
import { addUsage, readUsage } from './usage.ts';

/** A block of the answer that is being streamed. */
type Block = { segment: string; kind: SegmentKind; text: string; finished: boolean };

/** One answer of the model: an API message. A turn has one for each round of tools. */
type Response = {
  messageId: string;
  /** Its segments' ids begin with this: the message id, made unique in the turn. */
  key: string;
  blocks: Map<number, Block>;
  /** Its stream is over. */
  stopped: boolean;
};

type Turn = {
  attemptKey: string;
  /** The uuid of our message: Claude Code tells by it what becomes of the message (`command_lifecycle`). */
  uuid: string;
  /** Whether it has started on our message; null: it has not told anything of it, as older versions never do. */
  started: boolean | null;
  sessionReported: boolean;
  cancels: number;
  /** Messages handed over while it runs, and not started on: uuid → the id that they were given by. */
  offered: Map<string, string>;
  /** Its result, when it still had such a message then: it goes on with that, or ends so. */
  held: ProviderOutcome | null;
  response: Response | null;
  /** How many responses of this turn had that message id. */
  seen: Map<string, number>;
  openTools: Set<string>;
  deniedTools: Set<string>;
};

type OpenApproval = {
  requestId: string;
  report: Extract<ProviderReport, { type: 'approval' }>;
  /** False: it was asked while no turn of ours was there to report it. */
  reported: boolean;
};

export class ClaudeDriver implements ProviderDriver {
  #turn: Turn | null = null;
  /** By our approval id. */
  readonly #approvals = new Map<string, OpenApproval>();
  /** Whether this Claude Code tells what becomes of a message. */
  #tellsLifecycle = false;
  /** Whether Claude Code is in a turn that is not ours. */
  #foreignTurn = false;
  /** What the session had cost at its last result; null when that is not known (a resumed session's first). */
  #sessionCostUsd: number | null;
  /** Used by turns that were not ours. */
  #usedBetween: TurnUsage | null = null;
  readonly #sessionKey: string;

  constructor(spec: SessionSpec) {
    this.#sessionCostUsd = spec.resumeSessionId === null ? 0 : null;
    this.#sessionKey = spec.resumeSessionId ?? spec.newSessionId;
  }

  begin({ attemptKey, content, history }: TurnPrompt): string[] {
    const uuid = uuidFrom(`${this.#sessionKey} ${attemptKey}`);
    this.#turn = {
      attemptKey,
      uuid,
      started: this.#tellsLifecycle ? false : null,
      sessionReported: false,
      cancels: 0,
      offered: new Map(),
      held: null,
      response: null,
      seen: new Map(),
      openTools: new Set(),
      deniedTools: new Set(),
    };
    // a block of its own, and before the prompt: a slash command is looked for in the last one
    return [userFrame(uuid, history === undefined ? [content] : [history, content])];
  }

  /** Nothing before it has started on our message, nor of one that tells nothing of that: it could not tell that it has taken another. */
  steer({ id, content }: { id: string; content: string }): string[] {
    const turn = this.#turn;
    if (turn?.started !== true) return [];
    const uuid = uuidFrom(`${this.#sessionKey} ${turn.attemptKey} ${id}`);
    turn.offered.set(uuid, id);
    return [userFrame(uuid, [content])];
  }

  cancel(): string[] {
    if (this.#turn === null) return [];
    this.#turn.cancels += 1;
    return [
      JSON.stringify({
        type: 'control_request',
        request_id: `cancel-${this.#turn.uuid}-${this.#turn.cancels}`,
        // queued: it may not have come to our message yet, and would then go on with it
        request: { subtype: 'interrupt', cancel_queued: true },
      }),
    ];
  }

  answer(approvalId: string, decision: ApprovalDecision, message: string | null): string[] {
    const open = this.#approvals.get(approvalId);
    if (open === undefined) return [];
    this.#approvals.delete(approvalId);
    const { toolCallId, input } = open.report;
    if (decision === 'deny' && toolCallId !== undefined) this.#turn?.deniedTools.add(toolCallId);
    return [
      JSON.stringify({
        type: 'control_response',
        response: {
          subtype: 'success',
          request_id: open.requestId,
          response:
            decision === 'allow'
              ? { behavior: 'allow', updatedInput: input }
              : { behavior: 'deny', message: message ?? 'The user denied this.' },
        },
      }),
    ];
  }

  line(line: string): ProviderReport[] {
    if (line.trim() === '') return [];
    const fields = parseFields(line);
    const turn = this.#turn;
    if (turn === null) {
      if (fields !== null) this.#readForeign(fields);
      return [];
    }
    const reports = this.#unreported();
    if (fields === null) reports.push(unreadableLine(line));
    else if (fields['type'] === 'command_lifecycle') reports.push(...this.#lifecycle(fields, turn));
    else if (turn.started === false && !this.#isEndBeforeStart(fields))
      reports.push(...this.#readForeign(fields), ...this.#unreported());
    else reports.push(...this.#read(fields, turn));
    return reports;
  }

  #read(fields: Fields, turn: Turn): ProviderReport[] {
    switch (fields['type']) {
      case 'control_request':
        return this.#request(fields);
      case 'control_cancel_request':
        return this.#withdrawn((open) => open.requestId === fields['request_id'], 'withdrawn');
      case 'result':
        this.#foreignTurn = false;
        return this.#result(readOutcome(fields, turn), this.#used(fields), turn);
      default:
    }
    // a sub-agent's (invariant 5)
    if (textOf(fields['parent_tool_use_id']) !== null) return [];
    switch (fields['type']) {
      case 'system':
        return readSystem(fields, turn);
      case 'stream_event':
        return readStream(fields, turn);
      case 'assistant':
        return readAssistant(fields, turn);
      case 'user':
        return readToolResults(fields, turn);
      default:
        return [];
    }
  }

  /** A message that could not be started at all (a session that is missing, a broken set-up) has a result, and no more. */
  #isEndBeforeStart(fields: Fields): boolean {
    return fields['type'] === 'result' && !this.#foreignTurn;
  }

  /** A line of a turn that Claude Code took by itself (invariant 2). */
  #readForeign(fields: Fields): ProviderReport[] {
    switch (fields['type']) {
      case 'system':
        if (fields['subtype'] === 'init') this.#foreignTurn = true;
        return [];
      case 'command_lifecycle':
        this.#tellsLifecycle = true;
        return [];
      case 'control_request':
        this.#request(fields, false);
        return [];
      case 'control_cancel_request':
        return this.#withdrawn((open) => open.requestId === fields['request_id'], 'withdrawn');
      case 'result':
        this.#foreignTurn = false;
        this.#usedBetween = this.#used(fields);
        return this.#withdrawn(() => true, 'the turn ended');
      default:
        return [];
    }
  }

  /** Ends the turn, unless Claude Code has more messages for it (invariant 7). */
  #result(outcome: ProviderOutcome, usage: TurnUsage | null, turn: Turn): ProviderReport[] {
    // a second one before it has started on any of them: it will not
    if (turn.offered.size === 0 || turn.held !== null) return this.#end(outcome, usage);
    this.#usedBetween = usage;
    turn.held = outcome;
    // until it has: it may take a turn by itself first
    turn.started = false;
    // what it left unfinished stays (invariant 4)
    turn.response = null;
    const reports = this.#withdrawn(() => true, 'the turn ended');
    if (outcome.outcome === 'failed')
      reports.push({ type: 'notice', code: outcome.code, text: outcome.message });
    return reports;
  }

  /** What becomes of a message that was handed over while the turn ran. */
  #offeredLifecycle(uuid: string, id: string, fields: Fields, turn: Turn): ProviderReport[] {
    switch (fields['state']) {
      case 'started':
        turn.offered.delete(uuid);
        turn.started = true;
        turn.held = null;
        return [{ type: 'steered', id }];
      case 'cancelled':
      case 'completed':
      case 'discarded':
      case 'refused':
        turn.offered.delete(uuid);
        return turn.held === null || turn.offered.size > 0
          ? []
          : this.#end(turn.held, this.#usedBetween);
      default:
        return [];
    }
  }

  /** What becomes of our message. It ends the turn only where no result will: a message that was never started. */
  #lifecycle(fields: Fields, turn: Turn): ProviderReport[] {
    this.#tellsLifecycle = true;
    const uuid = textOf(fields['command_uuid']) ?? '';
    const id = turn.offered.get(uuid);
    if (id !== undefined) return this.#offeredLifecycle(uuid, id, fields, turn);
    if (uuid !== turn.uuid) return [];
    switch (fields['state']) {
      case 'queued':
        turn.started ??= false;
        return [];
      case 'started':
        turn.started = true;
        return [];
      case 'cancelled':
      case 'completed':
      case 'discarded':
      case 'refused': {
        // what was started ends with a result, before or after this
        if (turn.started === true || turn.held !== null) return [];
        if (fields['state'] === 'cancelled')
          return this.#end({ outcome: 'cancelled' }, this.#usedBetween);
        // completed: a message with this uuid is in the session already, and Claude Code takes none twice
        const message = `Claude Code did not start on the message: it was ${fields['state']}.`;
        return this.#end({ outcome: 'failed', code: 'provider_error', message }, this.#usedBetween);
      }
      default:
        return [];
    }
  }

  /** Reads the usage of a result, adding what was used before it and not yet reported (invariant 6). */
  #used(result: Fields): TurnUsage | null {
    const { usage, sessionCostUsd } = readUsage(result, this.#sessionCostUsd);
    this.#sessionCostUsd = sessionCostUsd;
    return addUsage(this.#usedBetween, usage);
  }

  #end(end: ProviderOutcome, usage: TurnUsage | null): ProviderReport[] {
    const reports = this.#withdrawn(() => true, 'the turn ended');
    this.#turn = null;
    this.#usedBetween = null;
    reports.push({ type: 'end', end, ...(usage === null ? {} : { usage }) });
    return reports;
  }

  #request(fields: Fields, reported = true): ProviderReport[] {
    const requestId = textOf(fields['request_id']);
    const request = fieldsOf(fields['request']);
    if (requestId === null) return [];
    if (request['subtype'] !== 'can_use_tool')
      return [
        {
          type: 'notice',
          code: 'unanswered_request',
          text: `Claude Code asks for something Holdfast does not offer: ${String(request['subtype'])}`,
        },
      ];
    const approvalId = isId(requestId) ? requestId : uuidFrom(requestId);
    const toolCallId = textOf(request['tool_use_id']);
    const tool = textOf(request['display_name']) ?? textOf(request['tool_name']) ?? 'a tool';
    const detail = textOf(request['title']) ?? textOf(request['description']);
    const report: OpenApproval['report'] = {
      type: 'approval',
      approvalId,
      ...(toolCallId === null ? {} : { toolCallId }),
      title: detail === null ? tool : `${tool}: ${detail}`,
      input: fieldsOf(request['input']),
      options: ['allow', 'deny'],
    };
    this.#approvals.set(approvalId, { requestId, report, reported });
    return [report];
  }

  /** Approvals asked while no turn could report them; our turn waits for them all the same. */
  #unreported(): ProviderReport[] {
    const reports: ProviderReport[] = [];
    for (const open of this.#approvals.values()) {
      if (open.reported) continue;
      open.reported = true;
      reports.push(open.report);
    }
    return reports;
  }

  #withdrawn(chosen: (open: OpenApproval) => boolean, reason: string): ProviderReport[] {
    const reports: ProviderReport[] = [];
    for (const [approvalId, open] of this.#approvals) {
      if (!chosen(open)) continue;
      this.#approvals.delete(approvalId);
      if (open.reported) reports.push({ type: 'approval.gone', approvalId, reason });
    }
    return reports;
  }
}

function userFrame(uuid: string, texts: string[]): string {
  return JSON.stringify({
    type: 'user',
    uuid,
    session_id: '',
    parent_tool_use_id: null,
    message: { role: 'user', content: texts.map((text) => ({ type: 'text', text })) },
  });
}

function readOutcome(fields: Fields, turn: Turn): ProviderOutcome {
  const reason = textOf(fields['terminal_reason']);
  if (reason?.startsWith('aborted_')) return { outcome: 'cancelled' };
  if (fields['is_error'] !== true && fields['subtype'] === 'success')
    return { outcome: 'completed' };
  // older versions give no reason
  if (reason === null && turn.cancels > 0 && fields['subtype'] === 'error_during_execution')
    return { outcome: 'cancelled' };
  return { outcome: 'failed', ...readFailure(fields) };
}

function readSystem(fields: Fields, turn: Turn): ProviderReport[] {
  switch (fields['subtype']) {
    case 'init': {
      const sessionId = textOf(fields['session_id']);
      const model = textOf(fields['model']);
      if (sessionId === null || turn.sessionReported) return [];
      turn.sessionReported = true;
      return [{ type: 'session', sessionId, ...(model === null ? {} : { model }) }];
    }
    case 'api_retry': {
      const error = textOf(fields['error']) ?? 'unknown';
      const status = amountOf(fields['error_status']);
      return [
        {
          type: 'retrying',
          attempt: amountOf(fields['attempt']),
          delayMs: amountOf(fields['retry_delay_ms']),
          status: status === 0 ? error : `${status} ${error}`,
        },
      ];
    }
    case 'permission_denied': {
      const toolCallId = textOf(fields['tool_use_id']);
      if (toolCallId !== null) turn.deniedTools.add(toolCallId);
      return [];
    }
    case 'compact_boundary':
      return [
        {
          type: 'notice',
          code: 'context_compacted',
          text: 'Claude Code has shortened its context.',
        },
      ];
    default:
      return [];
  }
}

function readStream(fields: Fields, turn: Turn): ProviderReport[] {
  const event = fieldsOf(fields['event']);
  const index = typeof event['index'] === 'number' ? event['index'] : -1;
  switch (event['type']) {
    case 'message_start': {
      const discards = discardReplaced(turn);
      turn.response = newResponse(turn, textOf(fieldsOf(event['message'])['id']) ?? '');
      return discards;
    }
    case 'message_stop':
      if (turn.response !== null) turn.response.stopped = true;
      return [];
    case 'content_block_start': {
      const kind = segmentKind(fieldsOf(event['content_block'])['type']);
      turn.response ??= newResponse(turn, '');
      if (kind !== null) startBlock(turn.response, index, kind);
      return [];
    }
    case 'content_block_delta': {
      const delta = fieldsOf(event['delta']);
      const text =
        delta['type'] === 'text_delta'
          ? textOf(delta['text'])
          : delta['type'] === 'thinking_delta'
            ? textOf(delta['thinking'])
            : null;
      if (text === null || text === '') return [];
      const kind = delta['type'] === 'text_delta' ? 'text' : 'reasoning';
      turn.response ??= newResponse(turn, '');
      const block = turn.response.blocks.get(index) ?? startBlock(turn.response, index, kind);
      block.text += text;
      return [{ type: 'delta', kind: block.kind, segment: block.segment, text }];
    }
    default:
      return [];
  }
}

function segmentKind(type: unknown): SegmentKind | null {
  if (type === 'text') return 'text';
  return type === 'thinking' ? 'reasoning' : null;
}

function newResponse(turn: Turn, messageId: string): Response {
  const before = turn.seen.get(messageId) ?? 0;
  turn.seen.set(messageId, before + 1);
  const key = before === 0 ? messageId : `${messageId}~${before + 1}`;
  return { messageId, key, blocks: new Map(), stopped: false };
}

function startBlock({ key, blocks }: Response, index: number, kind: SegmentKind): Block {
  const block = { segment: `${key}:${index}`, kind, text: '', finished: false };
  blocks.set(index, block);
  return block;
}

/**
 * Takes back what an unfinished answer streamed, because another one takes its place (invariant 4).
 *
 * Claude Code marks an answer it gave up with `abandoned_blocks`, at once, and says nothing yet of what follows: the same
 * text again, an error, or nothing. So the mark is not needed: what is still unfinished when the next answer begins was
 * given up.
 */
function discardReplaced(turn: Turn): ProviderReport[] {
  if (turn.cancels > 0) return [];
  const left = [...(turn.response?.blocks.values() ?? [])];
  return left
    .filter(({ finished, text }) => !finished && text !== '')
    .map(({ segment }) => ({ type: 'segment.discard', segment, reason: 'retry' }));
}

/** A finished block: Claude Code repeats each one whole, before the next one starts. */
function readAssistant(fields: Fields, turn: Turn): ProviderReport[] {
  const message = fieldsOf(fields['message']);
  // an API error in words; the result carries it as well
  if (fields['is_api_error_message'] === true) return [];
  const messageId = textOf(message['id']) ?? '';
  const reports: ProviderReport[] = [];
  let { response } = turn;
  if (response?.messageId !== messageId) {
    // not streamed: Claude Code asked again without streaming, or, while an answer streams, says something of its own
    const beside = response !== null && !response.stopped;
    if (!beside) reports.push(...discardReplaced(turn));
    response = newResponse(turn, messageId);
    response.stopped = !beside;
    if (!beside) turn.response = response;
  }
  const aborted = fields['aborted'] === true;
  for (const content of listOf(message['content'])) {
    const type = textOf(content['type']) ?? '';
    const kind = segmentKind(type);
    if (kind === null) {
      reports.push(...readTool(type, content, turn));
      continue;
    }
    const text = textOf(content[kind === 'text' ? 'text' : 'thinking']) ?? '';
    reports.push(...finishBlock({ response, kind, text, aborted }));
  }
  return reports;
}

function readTool(type: string, content: Fields, turn: Turn): ProviderReport[] {
  const toolCallId = textOf(content['id']);
  if ((type === 'tool_use' || type === 'server_tool_use') && toolCallId !== null) {
    if (turn.openTools.has(toolCallId)) return [];
    turn.openTools.add(toolCallId);
    const name = textOf(content['name']) ?? '';
    return [{ type: 'tool.start', toolCallId, name, input: content['input'] ?? {} }];
  }
  // what a tool of the API itself found comes in the answer
  if (type.endsWith('_tool_result')) return readToolResult(content, turn, []);
  return [];
}

function finishBlock({
  response,
  kind,
  text,
  aborted,
}: {
  response: Response;
  kind: SegmentKind;
  text: string;
  aborted: boolean;
}): ProviderReport[] {
  const { blocks } = response;
  const block =
    [...blocks.values()].find((started) => started.kind === kind && !started.finished) ??
    startBlock(response, Math.max(-1, ...blocks.keys()) + 1, kind);
  const { segment, text: streamed } = block;
  block.finished = true;
  block.text = '';
  // an interrupt cut it off: it is as much as there is, and not complete
  if (aborted) {
    const rest = text.startsWith(streamed) ? text.slice(streamed.length) : '';
    return rest === '' ? [] : [{ type: 'delta', kind, segment, text: rest }];
  }
  // thinking may be streamed and then be left out of the finished block
  const whole = text === '' ? streamed : text;
  return whole === '' ? [] : [{ type: 'segment.end', kind, segment, text: whole }];
}

function readToolResults(fields: Fields, turn: Turn): ProviderReport[] {
  const meta = listOf(fields['tool_result_meta']);
  return listOf(fieldsOf(fields['message'])['content'])
    .filter(({ type }) => type === 'tool_result')
    .flatMap((content) => readToolResult(content, turn, meta));
}

function readToolResult(content: Fields, turn: Turn, meta: Fields[]): ProviderReport[] {
  const toolCallId = textOf(content['tool_use_id']);
  if (toolCallId === null || !turn.openTools.delete(toolCallId)) return [];
  const decision = fieldsOf(meta.find(({ id }) => id === toolCallId)?.['permission_decision']);
  const denied = turn.deniedTools.has(toolCallId) || decision['decision'] === 'reject';
  const status: ToolStatus = denied ? 'denied' : content['is_error'] === true ? 'error' : 'ok';
  return [{ type: 'tool.end', toolCallId, status, output: outputText(content['content']) }];
}

function outputText(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return content === undefined ? '' : JSON.stringify(content);
  return listOf(content)
    .map((part) => textOf(part['text']) ?? `[${textOf(part['type']) ?? 'unknown'}]`)
    .join('\n');
}

/** A UUID that is the same for the same name (version 8: ours to define). */
function uuidFrom(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}
