import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { ProviderReport } from '../../../src/contracts/provider-events.ts';
import { ClaudeDriver } from '../../../src/providers/claude/driver.ts';
import { EXPECTED } from './expected.ts';
import { call, loadRecording, play, recordingNames, type Step, summarize } from './recorded.ts';

const recordings = recordingNames().map(loadRecording);

function newDriver(resumeSessionId: string | null = null): ClaudeDriver {
  return new ClaudeDriver({
    workspacePath: '/srv/demo/work',
    model: null,
    resumeSessionId,
    newSessionId: '00000000-0000-4000-8000-000000000000',
  });
}

/** A driver whose turn runs, and what it reports of further lines. */
function running(resumeSessionId: string | null = null): {
  driver: ClaudeDriver;
  read: (...lines: unknown[]) => ProviderReport[];
} {
  const driver = newDriver(resumeSessionId);
  driver.begin({ attemptKey: 't1.1', content: 'hello' });
  return {
    driver,
    read: (...lines) =>
      lines.flatMap((line) => driver.line(typeof line === 'string' ? line : JSON.stringify(line))),
  };
}

const stream = (event: unknown, more: Record<string, unknown> = {}): unknown => ({
  type: 'stream_event',
  event,
  parent_tool_use_id: null,
  ...more,
});
const messageStart = (id: string): unknown => stream({ type: 'message_start', message: { id } });
const textDelta = (text: string, index = 0): unknown =>
  stream({ type: 'content_block_delta', index, delta: { type: 'text_delta', text } });
const assistant = (
  id: string,
  content: unknown[],
  more: Record<string, unknown> = {},
): unknown => ({
  type: 'assistant',
  message: { id, content },
  parent_tool_use_id: null,
  ...more,
});
const result = (fields: Record<string, unknown> = {}): unknown => ({
  type: 'result',
  subtype: 'success',
  is_error: false,
  terminal_reason: 'completed',
  ...fields,
});

describe('recorded runs of Claude Code 2.1.330', () => {
  it('have an expectation each', () => {
    expect(recordings.map(({ name }) => name).toSorted()).toEqual(Object.keys(EXPECTED).toSorted());
  });

  it.each(recordings)('$name: exactly these reports', (recording) => {
    expect(summarize(play(recording).reports.flat())).toEqual(EXPECTED[recording.name]);
  });

  it.each(recordings)('1: $name: played again it is the same, frames and reports', (recording) => {
    expect(play(recording)).toEqual(play(recording));
  });

  it.each(recordings)('3: $name: cut anywhere it gives the reports up to there', (recording) => {
    const whole = play(recording).reports;
    const { spec, steps } = recording;
    for (let length = 0; length < steps.length; length += 1) {
      const cut = play({ spec, steps: steps.slice(0, length) }).reports;
      expect(cut).toEqual(whole.slice(0, cut.length));
    }
  });

  it.each(recordings)('2: $name: nothing is reported outside a turn', ({ spec, steps }) => {
    const driver = new ClaudeDriver(spec);
    let open = false;
    const outside: ProviderReport[] = [];
    const afterEnd: ProviderReport[] = [];
    for (const step of steps) {
      if ('call' in step) {
        if (step.call.type === 'begin') open = true;
        call(driver, step.call);
        continue;
      }
      const reports = driver.line(step.line);
      if (!open) outside.push(...reports);
      const end = reports.findIndex(({ type }) => type === 'end');
      if (end === -1) continue;
      afterEnd.push(...reports.slice(end + 1));
      open = false;
    }
    expect({ outside, afterEnd }).toEqual({ outside: [], afterEnd: [] });
  });

  it('3: whatever is done to the lines, it never throws, and reports one end at most', () => {
    const mangled = fc.record({
      name: fc.constantFrom(...recordings.map(({ name }) => name)),
      edits: fc.array(
        fc.record({
          at: fc.nat(),
          kind: fc.constantFrom('drop', 'double', 'cut', 'junk', 'strip', 'null', 'list'),
          amount: fc.nat(),
        }),
        { maxLength: 8 },
      ),
    });
    fc.assert(
      fc.property(mangled, ({ name, edits }) => {
        const recording = loadRecording(name);
        const steps: Step[] = [...recording.steps];
        for (const { at, kind, amount } of edits) {
          const index = at % steps.length;
          const step = steps[index];
          if (step === undefined || 'call' in step) continue;
          steps.splice(index, 1, ...edit(step.line, kind, amount));
        }
        const { reports } = play({ spec: recording.spec, steps });
        const begun = steps.filter((step) => 'call' in step && step.call.type === 'begin').length;
        const ends = reports.flat().filter(({ type }) => type === 'end').length;
        expect(ends).toBeLessThanOrEqual(begun);
      }),
      { numRuns: 300 },
    );
  });

  it('3: any JSON at all is taken', () => {
    fc.assert(
      fc.property(fc.array(fc.json(), { maxLength: 5 }), (lines) => {
        running().read(...lines);
      }),
    );
  });
});

/** One line, damaged. */
function edit(line: string, kind: string, amount: number): Step[] {
  switch (kind) {
    case 'drop':
      return [];
    case 'double':
      return [{ line }, { line }];
    case 'cut':
      return [{ line: line.slice(0, amount % line.length) }];
    case 'junk':
      return [{ line: '\uFFFD not JSON' }, { line }];
    case 'strip':
      return [{ line: replaceField(line, amount, undefined) }];
    case 'list':
      return [{ line: replaceField(line, amount, [null, 1, {}]) }];
    default:
      return [{ line: replaceField(line, amount, null) }];
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // an edit before has cut it
    return null;
  }
}

/** The line with one of its fields, at any depth, replaced. */
function replaceField(line: string, amount: number, value: unknown): string {
  const root = parsed(line);
  const places: [Record<string, unknown>, string][] = [];
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    for (const [key, child] of Object.entries(node)) {
      places.push([node as Record<string, unknown>, key]);
      visit(child);
    }
  };
  visit(root);
  const place = places[amount % places.length];
  if (place !== undefined) place[0][place[1]] = value;
  return JSON.stringify(root);
}

describe('frames', () => {
  it('begin with the user message, its uuid the same for the same attempt only', () => {
    const [frame = ''] = newDriver().begin({ attemptKey: 't1.1', content: 'a "quoted"\nprompt' });
    const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/;
    expect(JSON.parse(frame)).toEqual({
      type: 'user',
      uuid: expect.stringMatching(uuid) as unknown,
      session_id: '',
      parent_tool_use_id: null,
      message: { role: 'user', content: [{ type: 'text', text: 'a "quoted"\nprompt' }] },
    });
    expect(frame).not.toContain('\n');
    expect(newDriver().begin({ attemptKey: 't1.1', content: 'a "quoted"\nprompt' })).toEqual([
      frame,
    ]);
    const [other = ''] = newDriver().begin({ attemptKey: 't1.2', content: 'a "quoted"\nprompt' });
    expect((JSON.parse(other) as { uuid: string }).uuid).not.toBe(
      (JSON.parse(frame) as { uuid: string }).uuid,
    );
  });

  it('cancel by an interrupt with an id of its own each time, and only while a turn runs', () => {
    const { driver, read } = running();
    const frames = [...driver.cancel(), ...driver.cancel()].map(
      (frame) => JSON.parse(frame) as { request_id: string; request: unknown },
    );
    expect(frames.map(({ request }) => request)).toEqual([
      { subtype: 'interrupt', cancel_queued: true },
      { subtype: 'interrupt', cancel_queued: true },
    ]);
    expect(new Set(frames.map(({ request_id: id }) => id)).size).toBe(2);
    read(result());
    expect(driver.cancel()).toEqual([]);
    expect(newDriver().cancel()).toEqual([]);
  });

  const asks = {
    type: 'control_request',
    request_id: 'r-1',
    request: {
      subtype: 'can_use_tool',
      tool_name: 'Bash',
      input: { command: 'ls', nested: { a: [1] } },
      tool_use_id: 'toolu_1',
    },
  };

  it('allow with the input that was asked for, deny with the words of the user', () => {
    const { driver, read } = running();
    read(asks, { ...asks, request_id: 'r-2' });
    expect(
      driver.answer('r-1', 'allow', 'ignored').map((frame) => JSON.parse(frame) as unknown),
    ).toEqual([
      {
        type: 'control_response',
        response: {
          subtype: 'success',
          request_id: 'r-1',
          response: { behavior: 'allow', updatedInput: { command: 'ls', nested: { a: [1] } } },
        },
      },
    ]);
    expect(driver.answer('r-2', 'deny', 'not today')[0]).toContain(
      '{"behavior":"deny","message":"not today"}',
    );
  });

  it('answer an approval once, never one that is not open, and leave no trace of it', () => {
    const { driver, read } = running();
    expect(driver.answer('r-1', 'allow', null)).toEqual([]);
    read(asks);
    expect(driver.answer('r-1', 'allow', null)).toHaveLength(1);
    expect(driver.answer('r-1', 'deny', null)).toEqual([]);
    read(asks, result());
    expect(driver.answer('r-1', 'allow', null)).toEqual([]);
  });

  it('an id that no route can carry is replaced, and answered under its own', () => {
    const { driver, read } = running();
    const [report] = read({ ...asks, request_id: 'no/such id' });
    if (report?.type !== 'approval') throw new Error('no approval');
    expect(report.approvalId).toMatch(/^[0-9a-f-]{36}$/);
    expect(driver.answer(report.approvalId, 'allow', null)[0]).toContain(
      '"request_id":"no/such id"',
    );
  });

  it('an approval that is withdrawn, or whose turn ends, is gone', () => {
    const { driver, read } = running();
    read(asks);
    expect(read({ type: 'control_cancel_request', request_id: 'r-1' })).toEqual([
      { type: 'approval.gone', approvalId: 'r-1', reason: 'withdrawn' },
    ]);
    expect(read({ type: 'control_cancel_request', request_id: 'r-1' })).toEqual([]);
    read({ ...asks, request_id: 'r-2' });
    expect(read(result()).map(({ type }) => type)).toEqual(['approval.gone', 'end']);
    expect(driver.answer('r-2', 'allow', null)).toEqual([]);
  });
});

describe('text and tools', () => {
  it('4: what a cut-off answer streamed is taken back when the next one begins, not before', () => {
    const { read } = running();
    read(messageStart('m1'), textDelta('half an ans'));
    const abandoned = { abandoned_blocks: { api_message_id: 'm1', from_block_index: 0 } };
    expect(read(stream({ type: 'message_stop' }, abandoned))).toEqual([]);
    expect(read(messageStart('m2'))).toEqual([
      { type: 'segment.discard', segment: 'm1:0', reason: 'retry' },
    ]);
  });

  it('4: a finished block stays when a later block of its answer is taken back', () => {
    const { read } = running();
    read(
      messageStart('m1'),
      textDelta('whole', 0),
      assistant('m1', [{ type: 'text', text: 'whole' }]),
    );
    read(textDelta('hal', 1));
    expect(read(messageStart('m2'))).toEqual([
      { type: 'segment.discard', segment: 'm1:1', reason: 'retry' },
    ]);
  });

  it('4: it stays when the turn ends with it, by an error or by an interrupt', () => {
    const failed = running();
    failed.read(messageStart('m1'), textDelta('half'));
    const reports = failed.read(
      assistant('m2', [{ type: 'text', text: 'API Error: 500' }], { is_api_error_message: true }),
      result({ is_error: true, terminal_reason: 'api_error', result: 'API Error: 500' }),
    );
    expect(reports.map(({ type }) => type)).toEqual(['end']);

    const cancelled = running();
    cancelled.read(messageStart('m1'), textDelta('half'));
    cancelled.driver.cancel();
    expect(cancelled.read(messageStart('m2'))).toEqual([]);
  });

  it('an answer that uses an id again has segments of its own', () => {
    const { read } = running();
    read(messageStart('m1'), textDelta('one'), assistant('m1', [{ type: 'text', text: 'one' }]));
    expect(read(messageStart('m1'), textDelta('two'))).toEqual([
      { type: 'delta', kind: 'text', segment: 'm1~2:0', text: 'two' },
    ]);
  });

  it('the finished block is the truth where deltas were lost, and the deltas where it is empty', () => {
    const { read } = running();
    read(messageStart('m1'), textDelta('wha'));
    expect(read(assistant('m1', [{ type: 'text', text: 'whatever' }]))).toEqual([
      { type: 'segment.end', kind: 'text', segment: 'm1:0', text: 'whatever' },
    ]);
    const thinking = { type: 'thinking_delta', thinking: 'hm' };
    read(stream({ type: 'content_block_delta', index: 1, delta: thinking }));
    expect(read(assistant('m1', [{ type: 'thinking', thinking: '' }]))).toEqual([
      { type: 'segment.end', kind: 'reasoning', segment: 'm1:1', text: 'hm' },
    ]);
  });

  it('a block that an interrupt cut off is not called finished; what was missing of it is added', () => {
    const { driver, read } = running();
    read(messageStart('m1'), textDelta('one '));
    driver.cancel();
    expect(read(assistant('m1', [{ type: 'text', text: 'one two ' }], { aborted: true }))).toEqual([
      { type: 'delta', kind: 'text', segment: 'm1:0', text: 'two ' },
    ]);
  });

  it('an answer that came without a stream is one segment', () => {
    const { read } = running();
    expect(read(assistant('m9', [{ type: 'text', text: 'all at once' }]))).toEqual([
      { type: 'segment.end', kind: 'text', segment: 'm9:0', text: 'all at once' },
    ]);
  });

  it('4: what Claude Code says of its own while an answer streams takes nothing back', () => {
    const { read } = running();
    const said = assistant('local', [{ type: 'text', text: 'by the way' }]);
    expect(read(messageStart('m1'), textDelta('one '), said, said, textDelta('two'))).toEqual([
      { type: 'delta', kind: 'text', segment: 'm1:0', text: 'one ' },
      { type: 'segment.end', kind: 'text', segment: 'local:0', text: 'by the way' },
      { type: 'segment.end', kind: 'text', segment: 'local~2:0', text: 'by the way' },
      { type: 'delta', kind: 'text', segment: 'm1:0', text: 'two' },
    ]);
  });

  it('an answer without a stream that comes in several parts is one answer', () => {
    const { read } = running();
    const part = (text: string): unknown => assistant('m9', [{ type: 'text', text }]);
    expect(
      read(part('a'), part('b')).map((report) => 'segment' in report && report.segment),
    ).toEqual(['m9:0', 'm9:1']);
  });

  it("5: a sub-agent's text, tools and results are left out, its approvals are not", () => {
    const { read } = running();
    const of = { parent_tool_use_id: 'toolu_parent' };
    const delta = { type: 'text_delta', text: 'inner' };
    expect(
      read(
        messageStart('m1'),
        textDelta('outer '),
        stream({ type: 'message_start', message: { id: 's1' } }, of),
        stream({ type: 'content_block_delta', index: 0, delta }, of),
        assistant('s1', [{ type: 'tool_use', id: 'toolu_s', name: 'Bash', input: {} }], of),
        {
          type: 'user',
          message: { content: [{ type: 'tool_result', tool_use_id: 'toolu_s', content: 'x' }] },
          ...of,
        },
        textDelta('text'),
      ),
    ).toEqual([
      { type: 'delta', kind: 'text', segment: 'm1:0', text: 'outer ' },
      { type: 'delta', kind: 'text', segment: 'm1:0', text: 'text' },
    ]);
    const request = {
      subtype: 'can_use_tool',
      tool_name: 'Bash',
      input: {},
      tool_use_id: 'toolu_s',
    };
    expect(read({ type: 'control_request', request_id: 'r1', request })).toMatchObject([
      { type: 'approval', toolCallId: 'toolu_s', title: 'Bash' },
    ]);
  });

  const toolUse = (id: string): unknown =>
    assistant('m1', [{ type: 'tool_use', id, name: 'Read', input: { path: 'a' } }]);
  const toolResult = (
    fields: Record<string, unknown>,
    more: Record<string, unknown> = {},
  ): unknown => ({
    type: 'user',
    parent_tool_use_id: null,
    message: { content: [{ type: 'tool_result', tool_use_id: 'toolu_1', ...fields }] },
    ...more,
  });

  it.each([
    ['text', { content: 'out' }, 'ok', 'out'],
    ['parts', { content: [{ type: 'text', text: 'a' }, { type: 'image' }] }, 'ok', 'a\n[image]'],
    ['nothing', {}, 'ok', ''],
    ['an error', { content: 'no such file', is_error: true }, 'error', 'no such file'],
  ])('a tool that answers with %s', (_what, fields, status, output) => {
    const { read } = running();
    expect(read(toolUse('toolu_1'), toolResult(fields))).toEqual([
      { type: 'tool.start', toolCallId: 'toolu_1', name: 'Read', input: { path: 'a' } },
      { type: 'tool.end', toolCallId: 'toolu_1', status, output },
    ]);
  });

  it('a tool is denied when the user denied it, or a rule of Claude Code did', () => {
    const refused = { content: 'no', is_error: true };
    const byRule = running();
    const denial = { type: 'system', subtype: 'permission_denied', tool_use_id: 'toolu_1' };
    expect(byRule.read(toolUse('toolu_1'), denial, toolResult(refused)).at(-1)).toMatchObject({
      status: 'denied',
    });
    const byMeta = running();
    const meta = { id: 'toolu_1', permission_decision: { decision: 'reject' } };
    expect(
      byMeta.read(toolUse('toolu_1'), toolResult(refused, { tool_result_meta: [meta] })).at(-1),
    ).toMatchObject({ status: 'denied' });
  });

  it('a tool starts once and ends once, and one that never started does not end', () => {
    const { read } = running();
    const types = read(
      toolResult({ content: 'x' }),
      toolUse('toolu_1'),
      toolUse('toolu_1'),
      toolResult({ content: 'x' }),
      toolResult({ content: 'x' }),
    ).map(({ type }) => type);
    expect(types).toEqual(['tool.start', 'tool.end']);
  });

  it('a tool of the API itself starts and ends within the answer', () => {
    const { read } = running();
    expect(
      read(
        assistant('m1', [
          { type: 'server_tool_use', id: 'srv_1', name: 'web_search', input: { q: 'x' } },
        ]),
        assistant('m1', [
          {
            type: 'web_search_tool_result',
            tool_use_id: 'srv_1',
            content: [{ type: 'web_search_result' }],
          },
        ]),
      ).map(({ type }) => type),
    ).toEqual(['tool.start', 'tool.end']);
  });

  it('3: a line that is no JSON object is a notice, and the turn goes on', () => {
    const { read } = running();
    const reports = read('this is not JSON', '[1]', textDelta('on'));
    expect(reports.map(({ type }) => type)).toEqual(['notice', 'notice', 'delta']);
    expect(reports[0]).toEqual({
      type: 'notice',
      code: 'unreadable_output',
      text: 'The provider wrote a line that is not a JSON object: "this is not JSON"',
    });
    const long = read('x'.repeat(1_000_000))[0];
    expect(long?.type === 'notice' && long.text.length).toBeLessThan(300);
  });

  it('a request Holdfast cannot serve is said aloud', () => {
    const { read } = running();
    const request = { subtype: 'hook_callback' };
    expect(read({ type: 'control_request', request_id: 'r', request })).toMatchObject([
      { type: 'notice', code: 'unanswered_request' },
    ]);
  });
});

describe('ends and usage', () => {
  it.each<[string, Record<string, unknown>, string]>([
    ['401', { api_error_status: 401 }, 'auth'],
    ['403', { api_error_status: 403 }, 'auth'],
    ['402', { api_error_status: 402 }, 'billing'],
    ['429', { api_error_status: 429 }, 'rate'],
    ['529', { api_error_status: 529 }, 'overload'],
    [
      'overloaded in a 500',
      { api_error_status: 500, api_error_type: 'overloaded_error' },
      'overload',
    ],
    ['500', { api_error_status: 500 }, 'provider_error'],
    ['400', { api_error_status: 400 }, 'request'],
    ['no connection', { result: 'API Error: Connection error.' }, 'network'],
    ['timeout', { result: 'API Error: Request timed out.' }, 'network'],
    ['no login', { result: 'Invalid API key · Please run /login' }, 'auth'],
    ['turn limit', { subtype: 'error_max_turns', terminal_reason: 'max_turns' }, 'limit'],
    ['budget', { subtype: 'error_max_budget_usd', terminal_reason: 'budget_exhausted' }, 'limit'],
    ['too long', { terminal_reason: 'prompt_too_long' }, 'request'],
    [
      'anything else',
      { subtype: 'error_during_execution', terminal_reason: 'model_error' },
      'provider_error',
    ],
  ])('a result of %s', (_what, fields, code) => {
    const { read } = running();
    const reports = read(result({ is_error: true, terminal_reason: 'api_error', ...fields }));
    expect(reports).toMatchObject([{ type: 'end', end: { outcome: 'failed', code } }]);
  });

  it('a failure without words still has a message, and never the developers’ line', () => {
    const { read } = running();
    const errors = ['[ede_diagnostic] result_type=user'];
    const [end] = read(result({ subtype: 'error_during_execution', is_error: true, errors }));
    expect(end).toMatchObject({
      end: { code: 'provider_error', message: 'Claude Code ended with error_during_execution.' },
    });
  });

  it.each(['aborted_streaming', 'aborted_tools'])('%s is cancelled', (reason) => {
    const { read } = running();
    const fields = { subtype: 'error_during_execution', is_error: true, terminal_reason: reason };
    expect(read(result(fields))).toMatchObject([{ end: { outcome: 'cancelled' } }]);
  });

  it('an interrupt in a version that gives no reason is cancelled too, a failure is not', () => {
    const fields = { subtype: 'error_during_execution', is_error: true, terminal_reason: null };
    const cancelled = running();
    cancelled.driver.cancel();
    expect(cancelled.read(result(fields))).toMatchObject([{ end: { outcome: 'cancelled' } }]);
    expect(running().read(result(fields))).toMatchObject([{ end: { outcome: 'failed' } }]);
  });

  it('a turn that was done before the cancel reached it is completed', () => {
    const { driver, read } = running();
    driver.cancel();
    expect(read(result())).toMatchObject([{ end: { outcome: 'completed' } }]);
  });

  const model = {
    inputTokens: 10,
    cacheReadInputTokens: 200,
    cacheCreationInputTokens: 3,
    outputTokens: 7,
  };

  it('6: all models of the turn count, and cached input too', () => {
    const { read } = running();
    const [end] = read(
      result({
        total_cost_usd: 9,
        model_usage_since_last_result: {
          a: { ...model, costUSD: 0.5 },
          b: { ...model, costUSD: 0.25 },
        },
      }),
    );
    expect(end).toMatchObject({ usage: { inputTokens: 426, outputTokens: 14, costUsd: 0.75 } });
  });

  const old = (total: number): unknown =>
    result({
      total_cost_usd: total,
      usage: { input_tokens: 10, cache_read_input_tokens: 5, output_tokens: 2 },
    });

  it('6: a version that only adds up: the difference is the cost of the turn', () => {
    const { driver, read } = running();
    expect(read(old(0.5))).toMatchObject([
      { usage: { inputTokens: 15, outputTokens: 2, costUsd: 0.5 } },
    ]);
    driver.begin({ attemptKey: 't2.1', content: 'again' });
    expect(read(old(0.75))).toMatchObject([{ usage: { costUsd: 0.25 } }]);
  });

  it('6: of a resumed session’s first turn such a version does not say the cost', () => {
    const { driver, read } = running('an-earlier-session');
    const [end] = read(old(0.5));
    expect(end?.type === 'end' && end.usage).toEqual({ inputTokens: 15, outputTokens: 2 });
    driver.begin({ attemptKey: 't2.1', content: 'again' });
    expect(read(old(0.75))).toMatchObject([{ usage: { costUsd: 0.25 } }]);
  });

  it('a turn that never reached the model has no usage', () => {
    const [end] = running().read(result({ model_usage_since_last_result: {}, total_cost_usd: 0 }));
    expect(end).toEqual({ type: 'end', end: { outcome: 'completed' } });
  });
});

describe('turns that Claude Code takes by itself', () => {
  const uuidOf = (frames: string[]): string =>
    (JSON.parse(frames[0] ?? '') as { uuid: string }).uuid;
  const lifecycle = (uuid: string, state: string): unknown => ({
    type: 'command_lifecycle',
    command_uuid: uuid,
    state,
  });
  const init = { type: 'system', subtype: 'init', session_id: 's', model: 'm' };

  /** A driver that has ended its first turn with a Claude Code that tells of its messages. */
  function warm(): ReturnType<typeof running> & { uuid: string } {
    const { driver, read } = running();
    read(lifecycle('another', 'queued'), result());
    return { driver, read, uuid: uuidOf(driver.begin({ attemptKey: 't2.1', content: 'two' })) };
  }

  it('2: neither text nor end of one is taken for ours', () => {
    const { read, uuid } = warm();
    expect(
      read(init, messageStart('m1'), textDelta('not ours'), lifecycle(uuid, 'queued'), result()),
    ).toEqual([]);
    expect(
      read(lifecycle(uuid, 'started'), init, messageStart('m2'), textDelta('ours'), result()).map(
        ({ type }) => type,
      ),
    ).toEqual(['session', 'delta', 'end']);
  });

  it('2: a message that cannot be started ends with its result', () => {
    const { read, uuid } = warm();
    const failed = { subtype: 'error_during_execution', is_error: true, errors: ['broken set-up'] };
    expect(read(lifecycle(uuid, 'queued'), result(failed))).toMatchObject([
      { type: 'end', end: { outcome: 'failed', message: 'broken set-up' } },
    ]);
  });

  it('2: the result of one that a cancel stopped is not the end of the turn after it', () => {
    const { driver, read, uuid } = warm();
    read(init, messageStart('m1'), lifecycle(uuid, 'queued'));
    driver.cancel();
    expect(read(lifecycle(uuid, 'cancelled'))).toEqual([
      { type: 'end', end: { outcome: 'cancelled' } },
    ]);
    const third = uuidOf(driver.begin({ attemptKey: 't3.1', content: 'three' }));
    expect(read(result({ terminal_reason: 'aborted_streaming', is_error: true }))).toEqual([]);
    expect(read(lifecycle(third, 'queued'), lifecycle(third, 'started'), result())).toMatchObject([
      { end: { outcome: 'completed' } },
    ]);
  });

  it.each(['discarded', 'refused', 'completed'])(
    '2: a message that was %s unstarted has failed',
    (state) => {
      const { read, uuid } = warm();
      expect(read(lifecycle(uuid, 'queued'), lifecycle(uuid, state))).toMatchObject([
        { end: { outcome: 'failed', code: 'provider_error' } },
      ]);
    },
  );

  it('a started message ends with its result, on whichever side of its last mark that comes', () => {
    const { read, uuid } = warm();
    expect(read(lifecycle(uuid, 'started'), lifecycle(uuid, 'cancelled'))).toEqual([]);
    const cut = { terminal_reason: 'aborted_streaming', is_error: true };
    expect(read(result(cut))).toMatchObject([{ end: { outcome: 'cancelled' } }]);
    expect(read(lifecycle(uuid, 'completed'))).toEqual([]);
  });

  it('2: what one asks between turns is asked in the next turn, and is gone when it ends', () => {
    const { driver, read } = running();
    read(lifecycle('another', 'queued'), result());
    const request = {
      subtype: 'can_use_tool',
      tool_name: 'Bash',
      input: {},
      tool_use_id: 'toolu_9',
    };
    expect(read(init, { type: 'control_request', request_id: 'r9', request })).toEqual([]);
    const uuid = uuidOf(driver.begin({ attemptKey: 't2.1', content: 'two' }));
    expect(read(lifecycle(uuid, 'queued'))).toMatchObject([{ type: 'approval', approvalId: 'r9' }]);
    expect(read(lifecycle(uuid, 'queued'))).toEqual([]);
    expect(read(result())).toEqual([
      { type: 'approval.gone', approvalId: 'r9', reason: 'the turn ended' },
    ]);
    expect(driver.answer('r9', 'allow', null)).toEqual([]);
  });

  it('6: what one used is counted with the next turn of ours', () => {
    const { driver, read } = running();
    const used = (costUSD: number): unknown =>
      result({
        model_usage_since_last_result: { a: { inputTokens: 1, outputTokens: 1, costUSD } },
      });
    read(used(0.5), init, used(0.25));
    driver.begin({ attemptKey: 't2.1', content: 'two' });
    expect(read(used(0.125))).toMatchObject([
      { usage: { inputTokens: 2, outputTokens: 2, costUsd: 0.375 } },
    ]);
  });
});

describe('a message for the running turn', () => {
  type Frame = { uuid: string; message: { content: unknown } };
  const framesOf = (frames: string[]): Frame[] => frames.map((frame) => JSON.parse(frame) as Frame);
  const lifecycle = (uuid: string, state: string): unknown => ({
    type: 'command_lifecycle',
    command_uuid: uuid,
    state,
  });
  const init = { type: 'system', subtype: 'init', session_id: 's', model: 'm' };
  const overloaded = result({ is_error: true, subtype: 'error_during_execution', errors: ['no'] });

  /** A driver whose turn Claude Code has started on; `steer` gives it a message and answers its uuid. */
  function started() {
    const driver = newDriver();
    const read = (...lines: unknown[]): ProviderReport[] =>
      lines.flatMap((line) => driver.line(JSON.stringify(line)));
    const begin = (attemptKey: string): string => {
      const [frame] = framesOf(driver.begin({ attemptKey, content: 'hello' }));
      const uuid = frame?.uuid ?? '';
      read(lifecycle(uuid, 'queued'), lifecycle(uuid, 'started'));
      return uuid;
    };
    const steer = (id: string): string =>
      framesOf(driver.steer({ id, content: `content of ${id}` }))[0]?.uuid ?? '';
    return { driver, read, steer, begin, uuid: begin('t1.1') };
  }

  it('is a user frame with a uuid of its own, the same for the same message of the same attempt', () => {
    const { driver, steer, begin, read } = started();
    const [frame] = framesOf(driver.steer({ id: 'r2', content: 'and this' }));
    expect(frame).toMatchObject({
      type: 'user',
      message: { role: 'user', content: [{ type: 'text', text: 'and this' }] },
    });
    const [again, another] = [steer('r2'), steer('r3')];
    expect(again).toBe(frame?.uuid);
    read(lifecycle(again, 'cancelled'), lifecycle(another, 'cancelled'), result());
    begin('t1.2');
    expect(new Set([again, another, steer('r2')]).size).toBe(3);
  });

  it('7: is not handed over to one that has not started on the turn, tells nothing of it, or runs none', () => {
    const driver = newDriver();
    const steer = (): string[] => driver.steer({ id: 'r2', content: 'x' });
    const read = (line: unknown): ProviderReport[] => driver.line(JSON.stringify(line));
    expect(steer()).toEqual([]);
    const [frame] = framesOf(driver.begin({ attemptKey: 't1.1', content: 'hello' }));
    // an older one goes on like this to its end
    read(init);
    read(messageStart('m1'));
    expect(steer()).toEqual([]);
    read(lifecycle(frame?.uuid ?? '', 'queued'));
    expect(steer()).toEqual([]);
    read(lifecycle(frame?.uuid ?? '', 'started'));
    expect(steer()).toHaveLength(1);
  });

  it('7: is taken once, when Claude Code has started on it', () => {
    const { read, steer } = started();
    const uuid = steer('r2');
    expect(read(lifecycle(uuid, 'queued'))).toEqual([]);
    expect(read(lifecycle(uuid, 'started'))).toEqual([{ type: 'steered', id: 'r2' }]);
    expect(read(lifecycle(uuid, 'started'), lifecycle(uuid, 'completed'))).toEqual([]);
    expect(read(result())).toMatchObject([{ type: 'end', end: { outcome: 'completed' } }]);
  });

  it('7: that waits at the result holds up the end, though it was not read yet', () => {
    const { read, steer, uuid: own } = started();
    const uuid = steer('r2');
    expect(read(result(), lifecycle(own, 'completed'))).toEqual([]);
    expect(read(lifecycle(uuid, 'queued'), lifecycle(uuid, 'started'), init)).toMatchObject([
      { type: 'steered', id: 'r2' },
      { type: 'session' },
    ]);
    expect(read(messageStart('m2'), textDelta('more'), overloaded)).toMatchObject([
      { type: 'delta', text: 'more' },
      { type: 'end', end: { outcome: 'failed' } },
    ]);
  });

  it.each(['cancelled', 'discarded', 'refused', 'completed'])(
    '7: %s while it holds up the end: not taken, and the end is the one that was held up',
    (state) => {
      const { read, steer } = started();
      const [first, second] = [steer('r2'), steer('r3')];
      expect(read(result(), lifecycle(first, state))).toEqual([]);
      expect(read(lifecycle(second, state))).toMatchObject([
        { type: 'end', end: { outcome: 'completed' } },
      ]);
    },
  );

  it('7: cancelled before the result, it holds up nothing', () => {
    const { driver, read, steer } = started();
    const uuid = steer('r2');
    driver.cancel();
    expect(read(lifecycle(uuid, 'cancelled'))).toEqual([]);
    const cut = { terminal_reason: 'aborted_streaming', is_error: true };
    expect(read(result(cut))).toMatchObject([{ type: 'end', end: { outcome: 'cancelled' } }]);
  });

  it('7: each that still waits at a result holds up the end again', () => {
    const { read, steer } = started();
    const [first, second] = [steer('r2'), steer('r3')];
    expect(read(result(), lifecycle(first, 'started'), result())).toEqual([
      { type: 'steered', id: 'r2' },
    ]);
    expect(read(lifecycle(second, 'started'), result())).toMatchObject([
      { type: 'steered', id: 'r3' },
      { type: 'end' },
    ]);
  });

  it('7: at a result that is held up, what was asked before it is gone', () => {
    const { driver, read, steer } = started();
    const request = { subtype: 'can_use_tool', tool_name: 'Bash', input: {}, tool_use_id: 'c9' };
    expect(read({ type: 'control_request', request_id: 'r9', request })).toHaveLength(1);
    steer('r2');
    expect(read(result())).toEqual([
      { type: 'approval.gone', approvalId: 'r9', reason: 'the turn ended' },
    ]);
    expect(driver.answer('r9', 'allow', null)).toEqual([]);
  });

  it('7: that Claude Code cannot start on ends the turn with what it says of that', () => {
    const { read, steer } = started();
    steer('r2');
    expect(read(result())).toEqual([]);
    expect(read(overloaded)).toMatchObject([{ type: 'end', end: { outcome: 'failed' } }]);
  });

  it('a turn that had failed before it goes on says so, and what it had left unfinished stays', () => {
    const { read, steer } = started();
    const uuid = steer('r2');
    expect(read(messageStart('m1'), textDelta('half'), overloaded)).toMatchObject([
      { type: 'delta' },
      { type: 'notice', text: 'no' },
    ]);
    const after = read(lifecycle(uuid, 'started'), messageStart('m2'), textDelta('whole'));
    expect(after.map(({ type }) => type)).toEqual(['steered', 'delta']);
  });

  it('2: a turn that Claude Code takes by itself before it starts on the message is no part of ours', () => {
    const { driver, read, steer } = started();
    const uuid = steer('r2');
    expect(read(result())).toEqual([]);
    expect(read(init, messageStart('m1'), textDelta('not ours'), result())).toEqual([]);
    // nor is that a time to hand over another
    expect(driver.steer({ id: 'r3', content: 'x' })).toEqual([]);
    expect(
      read(lifecycle(uuid, 'started'), init, messageStart('m2'), textDelta('ours')).map(
        ({ type }) => type,
      ),
    ).toEqual(['steered', 'session', 'delta']);
  });

  it('6: what all of its results used is the turn’s', () => {
    const { read, steer } = started();
    const used = (costUSD: number): unknown =>
      result({
        model_usage_since_last_result: { a: { inputTokens: 1, outputTokens: 1, costUSD } },
      });
    const uuid = steer('r2');
    expect(read(used(0.5), lifecycle(uuid, 'started'), used(0.25))).toMatchObject([
      { type: 'steered' },
      { type: 'end', usage: { inputTokens: 2, outputTokens: 2, costUsd: 0.75 } },
    ]);
  });

  it('what was said before is a block of its own before the prompt', () => {
    const frames = newDriver().begin({ attemptKey: 't1.1', content: '/cost', history: 'before' });
    expect(framesOf(frames)[0]?.message.content).toEqual([
      { type: 'text', text: 'before' },
      { type: 'text', text: '/cost' },
    ]);
  });
});
