/**
 * Driver of the scripted provider; wire.ts has the shapes of both directions.
 *
 * Invariants:
 *  1 The same calls give the same frames and reports: no clock, no chance, no file.
 *  2 Nothing is reported before `begin`, after `end`, or between two turns.
 *  3 It never throws on what the program wrote, and what it does not know it leaves out.
 */
import type {
  ApprovalDecision,
  ProviderDriver,
  ProviderOutcome,
  ProviderReport,
  ToolStatus,
  TurnPrompt,
  TurnUsage,
} from '../../contracts/provider-events.ts';
import {
  amountOf,
  fieldsOf,
  parseFields,
  textOf,
  unreadableLine,
  type Fields,
} from '../json-fields.ts';
import type { FrameToProgram } from './wire.ts';

export class ScriptedDriver implements ProviderDriver {
  /** The running turn's frame id. */
  #turn: string | null = null;
  readonly #openApprovals = new Set<string>();
  /** Messages that the running turn was offered and has not taken. */
  readonly #offered = new Set<string>();

  begin({ attemptKey, content, history }: TurnPrompt): string[] {
    this.#turn = attemptKey;
    this.#openApprovals.clear();
    this.#offered.clear();
    const told = history === undefined ? {} : { history };
    return [frame({ type: 'turn', id: attemptKey, prompt: content, ...told })];
  }

  steer({ id, content }: { id: string; content: string }): string[] {
    if (this.#turn === null) return [];
    this.#offered.add(id);
    return [frame({ type: 'steer', turn: this.#turn, id, content })];
  }

  cancel(): string[] {
    return this.#turn === null ? [] : [frame({ type: 'cancel', id: this.#turn })];
  }

  answer(approvalId: string, decision: ApprovalDecision, message: string | null): string[] {
    if (!this.#openApprovals.delete(approvalId)) return [];
    return [frame({ type: 'answer', approvalId, decision, message })];
  }

  line(line: string): ProviderReport[] {
    if (this.#turn === null || line.trim() === '') return [];
    const fields = parseFields(line);
    return fields === null ? [unreadableLine(line)] : this.#read(fields, this.#turn);
  }

  #read(fields: Fields, turn: string): ProviderReport[] {
    const block = textOf(fields['block']);
    const text = textOf(fields['text']);
    const toolCallId = textOf(fields['toolCallId']);
    const approvalId = textOf(fields['approvalId']);
    switch (fields['type']) {
      case 'session': {
        const sessionId = textOf(fields['sessionId']);
        const model = textOf(fields['model']);
        if (sessionId === null) return [];
        return [{ type: 'session', sessionId, ...(model === null ? {} : { model }) }];
      }
      case 'delta':
        if (block === null || text === null) return [];
        return [{ type: 'delta', kind: 'text', segment: block, text }];
      case 'think':
        if (block === null || text === null) return [];
        return [{ type: 'delta', kind: 'reasoning', segment: block, text }];
      case 'block.end': {
        if (block === null || text === null) return [];
        const kind = fields['kind'] === 'reasoning' ? 'reasoning' : 'text';
        return [{ type: 'segment.end', kind, segment: block, text }];
      }
      case 'tool.start':
        if (toolCallId === null) return [];
        return [
          {
            type: 'tool.start',
            toolCallId,
            name: textOf(fields['name']) ?? '',
            input: fields['input'],
          },
        ];
      case 'tool.output':
        return toolCallId === null || text === null
          ? []
          : [{ type: 'tool.output', toolCallId, text }];
      case 'tool.end':
        if (toolCallId === null) return [];
        return [
          {
            type: 'tool.end',
            toolCallId,
            status: toolStatus(fields['status']),
            output: textOf(fields['output']) ?? '',
          },
        ];
      case 'approval':
        if (approvalId === null) return [];
        this.#openApprovals.add(approvalId);
        return [
          {
            type: 'approval',
            approvalId,
            ...(toolCallId === null ? {} : { toolCallId }),
            title: textOf(fields['title']) ?? '',
            input: fields['input'],
            options: ['allow', 'deny'],
          },
        ];
      case 'approval.gone':
        if (approvalId === null || !this.#openApprovals.delete(approvalId)) return [];
        return [
          { type: 'approval.gone', approvalId, reason: textOf(fields['reason']) ?? 'withdrawn' },
        ];
      case 'retry': {
        const retrying: ProviderReport = {
          type: 'retrying',
          attempt: amountOf(fields['attempt']),
          delayMs: amountOf(fields['delayMs']),
          status: textOf(fields['status']) ?? '',
        };
        if (block === null) return [retrying];
        return [retrying, { type: 'segment.discard', segment: block, reason: 'retry' }];
      }
      case 'usage':
        return [{ type: 'usage', usage: usageOf(fields['usage']) }];
      case 'steered': {
        const id = textOf(fields['id']);
        return id === null || !this.#offered.delete(id) ? [] : [{ type: 'steered', id }];
      }
      case 'notice':
        return [{ type: 'notice', code: textOf(fields['code']) ?? 'provider', text: text ?? '' }];
      case 'end':
        if (fields['turn'] !== turn) return [];
        this.#turn = null;
        this.#openApprovals.clear();
        this.#offered.clear();
        return [{ type: 'end', end: outcomeOf(fields) }];
      default:
        return [];
    }
  }
}

function frame(value: FrameToProgram): string {
  return JSON.stringify(value);
}

function toolStatus(value: unknown): ToolStatus {
  return value === 'ok' || value === 'denied' ? value : 'error';
}

function usageOf(value: unknown): TurnUsage {
  const { inputTokens, outputTokens, costUsd } = fieldsOf(value);
  return {
    inputTokens: amountOf(inputTokens),
    outputTokens: amountOf(outputTokens),
    costUsd: amountOf(costUsd),
  };
}

function outcomeOf(fields: Fields): ProviderOutcome {
  const { outcome } = fields;
  if (outcome === 'completed' || outcome === 'cancelled') return { outcome };
  return {
    outcome: 'failed',
    code: textOf(fields['code']) ?? 'provider_error',
    message: textOf(fields['message']) ?? 'The scripted provider failed without saying why.',
  };
}
