/**
 * What a provider driver reports, before it becomes events of the log. No TypeBox here: these values
 * never cross the wire.
 *
 * A driver knows its CLI; it knows nothing of turns, sequence numbers or stores. `domain/segments.ts`
 * turns its reports into events. Source: provider-facts.md section 4.
 */

export type SegmentKind = 'text' | 'reasoning';

export type ToolStatus = 'ok' | 'error' | 'denied';

export type ApprovalDecision = 'allow' | 'deny';

/** Usage of this turn alone, never cumulative over a session. */
export type TurnUsage = { inputTokens: number; outputTokens: number; costUsd?: number };

/** How a turn ended, said by the provider's own terminal event; never derived from an exit code. */
export type ProviderOutcome =
  | { outcome: 'completed' }
  | { outcome: 'cancelled' }
  | { outcome: 'failed'; code: string; message: string };

export type ProviderReport =
  /** The provider's own session id, to resume it after its process is gone. Reported before anything else of a turn. */
  | { type: 'session'; sessionId: string; model?: string }
  /** A delta. `segment` is the provider's id of the block; a new one opens a new segment. */
  | { type: 'delta'; kind: SegmentKind; segment: string; text: string }
  /** The block is finished; `text` is its authoritative whole content. */
  | { type: 'segment.end'; kind: SegmentKind; segment: string; text: string }
  /** The provider takes back what it streamed of this block (it starts it again). */
  | { type: 'segment.discard'; segment: string; reason: string }
  | { type: 'tool.start'; toolCallId: string; name: string; input: unknown }
  | { type: 'tool.output'; toolCallId: string; text: string }
  | { type: 'tool.end'; toolCallId: string; status: ToolStatus; output: string }
  | {
      type: 'approval';
      approvalId: string;
      toolCallId?: string;
      title: string;
      input: unknown;
      options: ApprovalDecision[];
    }
  /** The provider no longer waits for that approval (its turn was cancelled, it timed out). */
  | { type: 'approval.gone'; approvalId: string; reason: string }
  | { type: 'retrying'; attempt: number; delayMs: number; status: string }
  | { type: 'usage'; usage: TurnUsage }
  /** The provider has taken a message into the running turn; `id` is the one that `steer` was called with. */
  | { type: 'steered'; id: string }
  | { type: 'notice'; code: string; text: string }
  /** The turn's one terminal report; `usage` is this turn's. */
  | { type: 'end'; end: ProviderOutcome; usage?: TurnUsage };

/** What a driver needs to begin a turn on a session. */
export type TurnPrompt = {
  /** `<turnId>.<attempt>`; drivers may use it as their frame id. */
  attemptKey: string;
  content: string;
  /** What was said before, as text, for a session that does not know it (a fork, after a cut, another provider). */
  history?: string;
};

/**
 * One session with one provider process: a synchronous state machine between stdin frames and stdout lines.
 *
 * Contract: deterministic. Fed the same calls in the same order (`begin`, `line`, `cancel`, `answer`,
 * as recorded in the spool's in.jsonl and out.jsonl) it returns the same frames and reports, so any
 * process can rebuild it from the spool (F2). It reads no clock, no random number, no file. It never throws on
 * provider output: what it cannot read becomes a `notice`, unknown kinds are ignored.
 */
export interface ProviderDriver {
  /** The frames (one line each, without the newline) that start a turn. At most one turn runs at a time. */
  begin(prompt: TurnPrompt): string[];
  /** One complete stdout line, without its newline. */
  line(line: string): ProviderReport[];
  /** The frames that offer a message to the running turn; empty when the provider takes none, or nothing runs. */
  steer?(message: { id: string; content: string }): string[];
  /** The frames of a cooperative cancel of the running turn; empty when the provider has none. */
  cancel(): string[];
  /** The frames that answer an open approval; empty when that approval is not open. */
  answer(approvalId: string, decision: ApprovalDecision, message: string | null): string[];
}

export type ProviderCapabilities = {
  /** Several turns on one process. */
  warmSessions: boolean;
  /** Can ask the user before it acts. */
  approvals: boolean;
  /** Has a cooperative cancel. */
  protocolCancel: boolean;
  /** Can continue an earlier session in a new process. */
  resume: boolean;
  /** Takes a message into a running turn, and says when it has. */
  steer: boolean;
};

export type ProviderLookup =
  | { found: true; program: string; version: string | null; problem: string | null }
  | { found: false; problem: string };

/** How to start the provider's program. The prompt is never an argument (design.md section 13). */
export type ProviderCommand = {
  program: string;
  args: string[];
  /** Variables beside the allowlisted ones of the engine's own environment. */
  environment: Record<string, string>;
};

export type SessionSpec = {
  workspacePath: string;
  model: string | null;
  /** The provider's session to continue, or null for a new one. */
  resumeSessionId: string | null;
  /** A UUID the provider may use for a new session. */
  newSessionId: string;
  /**
   * A file with the MCP servers of this session, as `{"mcpServers": {name: {type: "http", url, headers}}}`, for `command` to hand on
   * in the provider's own way. It holds a token, and is there when the program starts. Absent: there are none.
   */
  mcpConfigPath?: string;
};

/** One kind of agent CLI. */
export interface Provider {
  readonly providerId: string;
  readonly capabilities: ProviderCapabilities;
  /** Names (or `PREFIX_*`) of the environment variables this provider may see beside the common ones. */
  readonly environmentNames: readonly string[];
  /** Finds the program on this machine. Cheap enough to be asked at every claim; may be cached for seconds. */
  lookup(environment: Readonly<Record<string, string | undefined>>): Promise<ProviderLookup>;
  command(program: string, spec: SessionSpec): ProviderCommand;
  createDriver(spec: SessionSpec): ProviderDriver;
}
