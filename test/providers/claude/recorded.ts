/**
 * What real Claude Codes wrote, played back to the driver.
 *
 * `*.jsonl` is bare stdout: the calls are made where the run that was recorded made them. `*.exchange.jsonl` was
 * recorded with this driver and holds its calls too: `{"newSessionId"}`, then `{"call"}` and `{"line"}` in their order.
 */
import { readdirSync, readFileSync } from 'node:fs';

import type {
  ApprovalDecision,
  ProviderReport,
  SessionSpec,
} from '../../../src/contracts/provider-events.ts';
import { ClaudeDriver } from '../../../src/providers/claude/driver.ts';

export type Call =
  | { type: 'begin'; attemptKey: string; content: string; history?: string }
  | { type: 'steer'; id: string; content: string }
  | { type: 'cancel' }
  | { type: 'answer'; approvalId: string; decision: ApprovalDecision; message: string | null };

export type Step = { call: Call } | { line: string };

export type Recording = { name: string; spec: SessionSpec; steps: Step[] };

/** What the driver did at each step: frames of a call, reports of a line. */
export type Played = { frames: string[][]; reports: ProviderReport[][] };

const FOLDER = new URL('../../fixtures/transcripts/claude-2.1.330/', import.meta.url);

const EXCHANGE = '.exchange.jsonl';

function linesOf(file: string): string[] {
  return readFileSync(new URL(file, FOLDER), 'utf8').split('\n').filter(Boolean);
}

function specOf(newSessionId: string, resumeSessionId: string | null = null): SessionSpec {
  return { workspacePath: '/srv/demo/work', model: null, resumeSessionId, newSessionId };
}

/** The calls of a bare transcript: a turn begins when none runs, and its run's own cancels and answers are made. */
function withCalls(name: string, lines: string[]): Step[] {
  const steps: Step[] = [];
  let turns = 0;
  let running = false;
  for (const line of lines) {
    if (!running) {
      turns += 1;
      running = true;
      steps.push({
        call: { type: 'begin', attemptKey: `t${turns}.1`, content: `prompt ${turns}` },
      });
    }
    const fields = JSON.parse(line) as Record<string, unknown>;
    if (fields['type'] === 'control_response' && line.includes('"int1"'))
      steps.push({ call: { type: 'cancel' } });
    steps.push({ line });
    if (fields['type'] === 'control_request')
      steps.push({
        call: {
          type: 'answer',
          approvalId: String(fields['request_id']),
          decision: name.endsWith('deny') ? 'deny' : 'allow',
          message: name.endsWith('deny') ? 'no' : null,
        },
      });
    if (fields['type'] === 'result') running = false;
  }
  return steps;
}

export function loadRecording(name: string): Recording {
  const file = readdirSync(FOLDER).find(
    (found) => found.replace(/(\.exchange)?\.jsonl$/, '') === name,
  );
  if (file === undefined) throw new Error(`no recording is called ${name}`);
  const lines = linesOf(file);
  if (!file.endsWith(EXCHANGE)) {
    const resume = name === 'resume-2' || name === 'resume-missing' ? 'a-session' : null;
    return { name, spec: specOf('a-new-session', resume), steps: withCalls(name, lines) };
  }
  const [head = '{}', ...steps] = lines;
  const { newSessionId } = JSON.parse(head) as { newSessionId: string };
  return { name, spec: specOf(newSessionId), steps: steps.map((step) => JSON.parse(step) as Step) };
}

export function recordingNames(): string[] {
  return readdirSync(FOLDER).map((file) => file.replace(/(\.exchange)?\.jsonl$/, ''));
}

export function call(driver: ClaudeDriver, made: Call): string[] {
  switch (made.type) {
    case 'begin':
      return driver.begin(made);
    case 'steer':
      return driver.steer(made);
    case 'cancel':
      return driver.cancel();
    case 'answer':
      return driver.answer(made.approvalId, made.decision, made.message);
  }
}

export function play({ spec, steps }: Pick<Recording, 'spec' | 'steps'>): Played {
  const driver = new ClaudeDriver(spec);
  const played: Played = { frames: [], reports: [] };
  for (const step of steps)
    if ('call' in step) played.frames.push(call(driver, step.call));
    else played.reports.push(driver.line(step.line));
  return played;
}

/** Reports as one line each, for reading: deltas of one segment joined, with their number. */
export function summarize(reports: readonly ProviderReport[]): string[] {
  const lines: string[] = [];
  let deltas: { segment: string; kind: string; texts: string[] } | null = null;
  const flush = (): void => {
    if (deltas === null) return;
    const { segment, kind, texts } = deltas;
    lines.push(`${kind} ${segment} ${texts.length}× ${JSON.stringify(texts.join(''))}`);
    deltas = null;
  };
  for (const report of reports) {
    if (report.type === 'delta' && deltas?.segment === report.segment) {
      deltas.texts.push(report.text);
      continue;
    }
    flush();
    if (report.type === 'delta') {
      deltas = { segment: report.segment, kind: report.kind, texts: [report.text] };
      continue;
    }
    lines.push(one(report));
  }
  flush();
  return lines;
}

function one(report: Exclude<ProviderReport, { type: 'delta' }>): string {
  const shown = (text: string): string =>
    JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
  switch (report.type) {
    case 'session':
      return `session ${report.sessionId} ${report.model}`;
    case 'segment.end':
      return `end ${report.kind} ${report.segment} ${shown(report.text)}`;
    case 'segment.discard':
      return `discard ${report.segment} ${report.reason}`;
    case 'tool.start':
      return `tool ${report.toolCallId} ${report.name} ${JSON.stringify(report.input)}`;
    case 'tool.output':
      return `tool output ${report.toolCallId} ${shown(report.text)}`;
    case 'tool.end':
      return `tool end ${report.toolCallId} ${report.status} ${shown(report.output)}`;
    case 'approval':
      return `approval ${report.approvalId} for ${report.toolCallId}: ${report.title}`;
    case 'approval.gone':
      return `approval gone ${report.approvalId}: ${report.reason}`;
    case 'retrying':
      return `retrying ${report.attempt} in ${report.delayMs} ms: ${report.status}`;
    case 'usage':
      return `usage ${JSON.stringify(report.usage)}`;
    case 'steered':
      return `steered ${report.id}`;
    case 'notice':
      return `notice ${report.code}: ${report.text}`;
    case 'end': {
      const { inputTokens = 0, outputTokens = 0, costUsd } = report.usage ?? {};
      const used =
        report.usage === undefined
          ? ''
          : ` used ${inputTokens} + ${outputTokens}, ${costUsd === undefined ? 'cost unknown' : costUsd.toFixed(6)}`;
      const why =
        report.end.outcome === 'failed' ? ` ${report.end.code} ${shown(report.end.message)}` : '';
      return `END ${report.end.outcome}${why}${used}`;
    }
  }
}
