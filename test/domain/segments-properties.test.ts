import { isDeepStrictEqual } from 'node:util';

import * as fc from 'fast-check';
import { Errors } from 'typebox/value';
import { describe, expect, it } from 'vitest';

import { EVENT_PAYLOADS, type NewEvent } from '../../src/contracts/events.ts';
import type { ProviderReport } from '../../src/contracts/provider-events.ts';
import { emptyView, foldEvents } from '../../src/domain/fold.ts';
import { coalesce, forceEnd, phaseOf, record } from '../../src/domain/segments.ts';
import {
  chatStarted,
  endReport,
  offered,
  openReport,
  place,
  recordAll,
  recordingWithOffers,
  reportsWithoutEnd,
  scope,
  stored,
  terminalTypes,
} from './reports.ts';

type Row = {
  role: 'assistant' | 'tool' | 'user';
  kind: string;
  id: string;
  text: string;
  status: 'open' | 'complete' | 'partial' | 'discarded';
  tool?: string;
};

/** What the transcript should become, written without looking at segments.ts: rows, and blocks that are searched anew each time. */
class Transcript {
  readonly rows: Row[] = [];
  readonly #taken = new Set<string>();
  readonly #blocks: { name: string; rows: Row[]; finished: boolean; gone: boolean }[] = [];

  play(report: ProviderReport): void {
    switch (report.type) {
      case 'delta':
        if (report.text !== '') this.#text(report.kind, report.segment).text += report.text;
        return;
      case 'segment.end': {
        const { kind, segment, text } = report;
        const block = this.#block(kind, segment);
        if (block === undefined) {
          if (text === '') return;
          this.#text(kind, segment).text = text;
          this.#closeText('complete');
        } else {
          const last = block.rows.at(-1);
          if (last?.status === 'open') {
            const before = block.rows.slice(0, -1).reduce((sum, row) => sum + row.text.length, 0);
            const continues = text.slice(before).startsWith(last.text);
            if (before === 0 ? text !== '' : continues) last.text = text.slice(before);
            last.status = 'complete';
          }
        }
        const ended = this.#block(kind, segment);
        if (ended !== undefined) ended.finished = true;
        return;
      }
      case 'segment.discard':
        for (const kind of ['text', 'reasoning']) {
          const block = this.#block(kind, report.segment);
          if (block === undefined) continue;
          block.gone = true;
          for (const row of block.rows) Object.assign(row, { status: 'discarded', text: '' });
        }
        return;
      case 'tool.start':
        if (this.#openTool(report.toolCallId) === undefined) this.#tool(report.toolCallId);
        return;
      case 'tool.output':
        if (report.text !== '') {
          const row = this.#knownTool(report.toolCallId);
          if (row.status === 'open') row.text += report.text;
        }
        return;
      case 'tool.end': {
        const row = this.#knownTool(report.toolCallId);
        if (row.status !== 'open') return;
        if (report.output !== '') row.text = report.output;
        Object.assign(row, { status: 'complete', tool: report.status });
        return;
      }
      case 'steered': {
        const text = offered.get(report.id);
        if (text === undefined || this.#taken.has(report.id)) return;
        this.#taken.add(report.id);
        this.#closeText('complete');
        this.rows.push({ role: 'user', kind: 'text', id: '', text, status: 'complete' });
        return;
      }
      case 'end':
        this.#closeText(report.end.outcome === 'completed' ? 'complete' : 'partial');
        for (const row of this.rows)
          if (row.status === 'open') Object.assign(row, { status: 'complete', tool: 'error' });
        return;
      default:
        return;
    }
  }

  #block(kind: string, segment: string) {
    const block = this.#blocks.findLast(({ name }) => name === `${kind}/${segment}`);
    return block?.gone === true ? undefined : block;
  }

  /** The open row of that segment. */
  #text(kind: string, segment: string): Row {
    const open = this.rows.find((row) => row.role === 'assistant' && row.status === 'open');
    if (open?.kind === kind && open.id === segment) return open;
    this.#closeText('complete');
    const row: Row = { role: 'assistant', kind, id: segment, text: '', status: 'open' };
    this.rows.push(row);
    const block = this.#block(kind, segment);
    if (block === undefined || block.finished)
      this.#blocks.push({ name: `${kind}/${segment}`, rows: [row], finished: false, gone: false });
    else block.rows.push(row);
    return row;
  }

  #closeText(status: 'complete' | 'partial'): void {
    for (const row of this.rows)
      if (row.role === 'assistant' && row.status === 'open') row.status = status;
  }

  #openTool(id: string): Row | undefined {
    return this.rows.find((row) => row.role === 'tool' && row.id === id && row.status === 'open');
  }

  #knownTool(id: string): Row {
    const known = this.rows.findLast((row) => row.role === 'tool' && row.id === id);
    return known ?? this.#tool(id);
  }

  #tool(id: string): Row {
    this.#closeText('complete');
    const row: Row = { role: 'tool', kind: 'tool', id, text: '', status: 'open', tool: 'running' };
    this.rows.push(row);
    return row;
  }
}

/** Where an event stands; a message that the turn has taken, and the word of that, have a request of their own. */
function placeOf({ type, turnId, attempt, requestId }: NewEvent): object {
  const steered = type === 'chat.steered' || type === 'message.created';
  const own = steered && offered.has(requestId ?? '') ? { requestId: scope.requestId } : {};
  return { turnId, attempt, requestId, ...own };
}

/** The view without what says how many events it took. */
function timelessView(events: NewEvent[]): object {
  const timeless = events.map((event, index) => ({ ...event, seq: index + 1, at: 'now' }));
  return { ...foldEvents(emptyView('c1'), timeless), lastSeq: 0 };
}

/** Where `events` break invariants 1 and 2 of segments.ts. */
function breaches(events: readonly NewEvent[]): string[] {
  const found: string[] = [];
  const segments = new Map<string, string>();
  const tools = new Set<string>();
  const taken = new Set<string | undefined>();
  const approvals = new Map<string, string>();
  const demand = (held: boolean, what: string, event: NewEvent) => {
    if (!held) found.push(`${what}: ${JSON.stringify(event)}`);
  };
  const noneOpen = () => ![...segments.values()].includes('open');
  for (const event of events) {
    switch (event.type) {
      case 'assistant.segment.started':
        demand(noneOpen(), 'two open segments', event);
        demand(!segments.has(event.payload.messageId), 'started twice', event);
        segments.set(event.payload.messageId, 'open');
        break;
      case 'chat.delta':
        demand(segments.get(event.payload.messageId) === 'open', 'delta of no open one', event);
        demand(event.payload.text !== '', 'empty delta', event);
        break;
      case 'assistant.segment.ended':
        demand(segments.get(event.payload.messageId) === 'open', 'ended, not open', event);
        segments.set(event.payload.messageId, 'ended');
        break;
      case 'assistant.segment.discarded': {
        const state = segments.get(event.payload.messageId);
        demand(state === 'open' || state === 'ended', 'discarded what is not there', event);
        segments.set(event.payload.messageId, 'discarded');
        break;
      }
      case 'message.created':
        demand(noneOpen(), 'a message beside an open segment', event);
        demand(!taken.has(event.requestId), 'taken twice', event);
        taken.add(event.requestId);
        break;
      case 'chat.steered':
        demand(taken.has(event.requestId), 'steered without its message', event);
        break;
      case 'tool.start':
        demand(noneOpen(), 'a tool beside an open segment', event);
        demand(!tools.has(event.payload.toolCallId), 'started while running', event);
        tools.add(event.payload.toolCallId);
        break;
      case 'tool.output':
        demand(tools.has(event.payload.toolCallId), 'output of no running tool', event);
        break;
      case 'tool.end':
        demand(tools.delete(event.payload.toolCallId), 'end of no running tool', event);
        break;
      case 'approval.requested':
        demand(!approvals.has(event.payload.approvalId), 'asked twice', event);
        approvals.set(event.payload.approvalId, 'open');
        break;
      case 'approval.resolved':
        demand(approvals.get(event.payload.approvalId) === 'open', 'resolved, not open', event);
        approvals.set(event.payload.approvalId, 'resolved');
        break;
      default:
        break;
    }
  }
  if (!noneOpen() || tools.size > 0 || [...approvals.values()].includes('open'))
    found.push('something stayed open');
  return found;
}

describe('segments: properties', () => {
  const attempts = fc.tuple(reportsWithoutEnd, endReport, fc.array(openReport, { maxLength: 5 }));

  it('the folded events are the transcript that an independent model makes of the reports', () => {
    fc.assert(
      fc.property(reportsWithoutEnd, fc.option(endReport), (reports, end) => {
        const transcript = new Transcript();
        const recording = recordingWithOffers();
        let view = emptyView('c1');
        for (const report of end === null ? reports : [...reports, end]) {
          transcript.play(report);
          const events = record(recording, report);
          view = foldEvents(view, stored(events, view.lastSeq));
          expect(
            view.messages.map(({ messageId, role, kind, content, status, tool }) => ({
              role,
              kind,
              text: role === 'assistant' ? (view.overlays[messageId] ?? content) : content,
              status,
              ...(tool === undefined ? {} : { id: tool.toolCallId, tool: tool.status }),
            })),
          ).toEqual(
            transcript.rows.map(({ role, kind, id, text, status, tool }) => ({
              role,
              kind,
              text,
              status,
              ...(tool === undefined ? {} : { id, tool }),
            })),
          );
        }
      }),
      { numRuns: 400 },
    );
  });

  it('1, 2, 4, 5, A1: one segment at a time, each start its one end, one terminal event, last; later reports nothing', () => {
    fc.assert(
      fc.property(attempts, fc.boolean(), ([reports, end, late], forced) => {
        const { recording, events } = recordAll(forced ? reports : [...reports, end]);
        if (forced) events.push(...forceEnd(recording, { outcome: 'cancelled', by: 'user' }));
        expect(late.flatMap((report) => record(recording, report))).toEqual([]);
        expect(events.every((event) => isDeepStrictEqual(placeOf(event), place))).toBe(true);
        expect(events.map(({ type }) => terminalTypes.includes(type))).toEqual(
          events.map((_, index) => index === events.length - 1),
        );
        expect(breaches(events)).toEqual([]);
      }),
    );
  });

  it('L5: without authoritative ends, a closed message holds exactly its deltas', () => {
    fc.assert(
      fc.property(attempts, ([reports, end]) => {
        const streamed = new Map<string, string>();
        const closed = new Map<string, string>();
        const { events } = recordAll([
          ...reports.filter(({ type }) => type !== 'segment.end'),
          end,
        ]);
        for (const event of events) {
          if (event.type === 'chat.delta') {
            const { messageId, text } = event.payload;
            streamed.set(messageId, (streamed.get(messageId) ?? '') + text);
          } else if (event.type === 'assistant.segment.ended') {
            closed.set(event.payload.messageId, event.payload.content);
          } else if (event.type === 'assistant.segment.discarded') {
            streamed.delete(event.payload.messageId);
            closed.delete(event.payload.messageId);
          }
        }
        expect(closed).toEqual(streamed);
      }),
    );
  });

  it('3, F2: a rebuilt recording gives the same events and goes on the same way; message ids count 1, 2, 3 …', () => {
    fc.assert(
      fc.property(attempts, fc.nat(40), ([reports, end], cut) => {
        const all = [...reports, end];
        const whole = recordAll(all).events;
        const { recording, events } = recordAll(all.slice(0, cut));
        const rest = all.slice(cut).flatMap((report) => record(recording, report));
        expect([...events, ...rest]).toEqual(whole);
        const made = whole.flatMap((event) =>
          event.type === 'assistant.segment.started' ||
          event.type === 'tool.start' ||
          event.type === 'message.created'
            ? [event.payload.messageId]
            : [],
        );
        expect(made).toEqual(made.map((_, index) => `t1-2-${index + 1}`));
      }),
    );
  });

  it('coalesce keeps the fold, the order, and is done after one pass', () => {
    fc.assert(
      fc.property(attempts, ([reports, end]) => {
        const events = [chatStarted, ...recordAll([...reports, end]).events];
        const merged = coalesce(events);
        expect(timelessView(merged)).toEqual(timelessView(events));
        expect(coalesce(merged)).toEqual(merged);
      }),
    );
  });

  it('usage: the end carries the sum of all increments', () => {
    fc.assert(
      fc.property(attempts, ([reports, end]) => {
        const { events } = recordAll([...reports, end]);
        const increments = events.flatMap((event) =>
          event.type === 'usage' ? [event.payload] : [],
        );
        const sum =
          increments.length === 0
            ? undefined
            : {
                inputTokens: increments.reduce((total, one) => total + one.inputTokens, 0),
                outputTokens: increments.reduce((total, one) => total + one.outputTokens, 0),
                ...(increments.every(({ costUsd }) => costUsd === undefined)
                  ? {}
                  : { costUsd: increments.reduce((total, one) => total + (one.costUsd ?? 0), 0) }),
              };
        const { usage } = { usage: undefined, ...events.at(-1)?.payload };
        expect(usage).toEqual(sum);
      }),
    );
  });

  it('every event has the shape of its contract', () => {
    fc.assert(
      fc.property(attempts, ([reports, end]) => {
        for (const { type, payload } of recordAll([...reports, end]).events) {
          const asStored: unknown = JSON.parse(JSON.stringify(payload));
          expect(Errors(EVENT_PAYLOADS[type], asStored)).toEqual([]);
        }
      }),
    );
  });

  it('the phase is the fold’s, at every step', () => {
    fc.assert(
      fc.property(reportsWithoutEnd, (reports) => {
        const recording = recordingWithOffers();
        let view = foldEvents(emptyView('c1'), stored([chatStarted]));
        for (const report of reports) {
          const events = record(recording, report);
          view = foldEvents(
            view,
            events.map((event, index) => ({ ...event, seq: view.lastSeq + index + 1, at: 'now' })),
          );
          expect(view.activeTurn?.phase).toBe(phaseOf(recording));
        }
      }),
    );
  });
});
