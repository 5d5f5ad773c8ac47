/**
 * What the scripted provider and its driver say to each other, one JSON object a line.
 *
 * Types only: program.mjs is plain JavaScript and takes them as comments.
 */
import type {
  ApprovalDecision,
  SegmentKind,
  ToolStatus,
  TurnUsage,
} from '../../contracts/provider-events.ts';

/** Driver → program. */
export type FrameToProgram =
  /** Runs after the turns before it. `history`: what was said before, in another session. */
  | { type: 'turn'; id: string; prompt: string; history?: string }
  /** A message for that turn, taken at the end of the step, or of the word, that runs; the same id is taken once. */
  | { type: 'steer'; turn: string; id: string; content: string }
  /** Ends that turn (running or waiting); without an id, the running one. When there is none, nothing. */
  | { type: 'cancel'; id?: string }
  | { type: 'answer'; approvalId: string; decision: ApprovalDecision; message?: string | null };

/** Program → driver. Between `session` and `end` everything belongs to that turn. */
export type LineFromProgram =
  | { type: 'session'; turn: string; sessionId: string; model?: string }
  | { type: 'delta'; block: string; text: string }
  | { type: 'think'; block: string; text: string }
  /** The block is finished and this was all of it. Not said of large blocks, nor of one that was cut off. */
  | { type: 'block.end'; block: string; kind: SegmentKind; text: string }
  | { type: 'tool.start'; toolCallId: string; name: string; input: unknown }
  | { type: 'tool.output'; toolCallId: string; text: string }
  | { type: 'tool.end'; toolCallId: string; status: ToolStatus; output: string }
  | {
      type: 'approval';
      approvalId: string;
      toolCallId: string;
      title: string;
      input: unknown;
      options: ApprovalDecision[];
    }
  | { type: 'approval.gone'; approvalId: string; reason: string }
  /** With a block: its text is taken back and comes again as another block. */
  | { type: 'retry'; block?: string; attempt: number; delayMs: number; status: string }
  /** In addition to what was reported before. */
  | { type: 'usage'; usage: TurnUsage }
  /** The message of that id belongs to the turn from here on. */
  | { type: 'steered'; id: string }
  | { type: 'notice'; code: string; text: string }
  /** The last line of the turn. */
  | {
      type: 'end';
      turn: string;
      outcome: 'completed' | 'cancelled' | 'failed';
      code?: string;
      message?: string;
    };
