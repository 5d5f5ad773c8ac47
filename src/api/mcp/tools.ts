/**
 * The tools of the MCP server, without the protocol: what they are called with, what they do, what they answer.
 *
 *  1 Each answers when what it did is durable, and what is refused stores nothing.
 *  2 None takes anything: an answer that is lost on its way loses no message.
 *
 * Descriptions are read by models: they say what happens, when, and what is not needed.
 */
import { randomUUID } from 'node:crypto';

import { Type, type Static, type TSchema } from 'typebox';

import type {
  MailRowValue,
  PostMailBodyValue,
  SpawnAgentBodyValue,
  TeamViewValue,
} from '../../contracts/agents.ts';
import { HoldfastError } from '../../contracts/errors.ts';
import {
  type AgentViewValue,
  ConversationState,
  Id,
  MailKind,
  MailState,
  Outcome,
  Timestamp,
} from '../../contracts/events.ts';
import { TITLE_LIMIT_CHARS } from '../../contracts/limits.ts';
import type { MCP_TOOLS } from '../../contracts/names.ts';
import { invalidRequest } from '../problem.ts';
import { compileCheck } from '../validation.ts';

/** What the tools ask of the agents' room; `Agents` is it. All throw `HoldfastError`. */
export type AgentActions = {
  spawn(
    parentId: string,
    body: SpawnAgentBodyValue,
  ): Promise<{ agentId: string; conversationId: string }>;
  send(
    senderId: string,
    body: PostMailBodyValue,
  ): Promise<{ status: 'recorded'; row: MailRowValue } | { status: 'accepted'; messageId: string }>;
  team(conversationId: string): Promise<TeamViewValue>;
  mailbox(
    conversationId: string,
    query: { box?: 'in' | 'out' | 'any'; state?: MailRowValue['state']; limit?: number },
  ): Promise<{ items: MailRowValue[]; nextCursor: string | null }>;
};

/** Who calls. */
export type Caller = { conversationId: string; agents: AgentActions };

/** By which a tool is called. */
export type ToolName = (typeof MCP_TOOLS)[number];

/** What is shown of a tool, and what it does. */
export type Tool = {
  name: ToolName;
  title: string;
  description: string;
  input: TSchema;
  output: TSchema;
  /** Changes nothing. */
  readOnly: boolean;
  /** The same call twice does it once. */
  idempotent: boolean;
  /** Throws: `HoldfastError`, `invalid_request` for wrong arguments. */
  run(caller: Caller, input: unknown): Promise<Record<string, unknown>>;
};

/** Rows of a mailbox that one answer holds, of each state. */
const INBOX_ROWS = 50;
/** Of each row's text: all of it is given in the receiver's next turn. */
const INBOX_CHARS = 1_000;
const LINE_CHARS = 160;
/** A row is there in milliseconds, unless no worker is. Each asking waits as long as a receipt is waited for. */
const RECORD_ASKS = 5;

const closed = { additionalProperties: false };

const identifier = (description: string) => Type.String({ ...Id, description });
const Nothing = Type.Object({}, closed);

const SpawnInput = Type.Object(
  {
    name: Type.String({
      minLength: 1,
      maxLength: TITLE_LIMIT_CHARS,
      description: 'What the new agent is called, e.g. "Test writer".',
    }),
    prompt: Type.String({
      minLength: 1,
      description:
        'Its task, complete in itself: it sees nothing of your conversation. Say what its answer should hold.',
    }),
    agent_id: Type.Optional(
      identifier(
        'Names it within your team, for send_message. Made from the name unless given. Called again with the same one and the same arguments it is the same agent, not a second one.',
      ),
    ),
    role: Type.Optional(
      Type.String({ maxLength: TITLE_LIMIT_CHARS, description: 'A few words for people.' }),
    ),
    provider: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: 'Yours unless given.' }),
    ),
    model: Type.Optional(
      Type.String({ minLength: 1, maxLength: 200, description: 'Yours unless given.' }),
    ),
    workspace: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 4096,
        description: 'Absolute path of the folder it works in. Yours unless given.',
      }),
    ),
  },
  closed,
);
const SpawnOutput = Type.Object({ agent_id: Id, conversation_id: Id });

const SendInput = Type.Object(
  {
    to: identifier('The agent_id of its receiver, as list_team shows it; "root" is the first one.'),
    content: Type.String({ minLength: 1, description: 'The message, complete in itself.' }),
    message_id: Type.Optional(
      identifier(
        'Names this message. Sent again with the same one and the same content, it is one message, not two.',
      ),
    ),
  },
  closed,
);
const SendOutput = Type.Object({ message_id: Id, state: MailState });

const Waiting = Type.Object({
  message_id: Id,
  from: Type.Union([Type.String(), Type.Null()], {
    description: 'agent_id of the sender; null: Holdfast.',
  }),
  kind: MailKind,
  outcome: Type.Optional(Outcome),
  state: MailState,
  accepted_at: Timestamp,
  content: Type.String({ description: `The first ${INBOX_CHARS} characters.` }),
});
const InboxOutput = Type.Object({
  waiting: Type.Array(Waiting),
  more: Type.Boolean({ description: 'There are others, which came later.' }),
});

const Member = Type.Object({
  agent_id: Id,
  you: Type.Boolean(),
  parent: Type.Union([Type.String(), Type.Null()]),
  name: Type.String(),
  role: Type.String(),
  provider: Type.String(),
  state: ConversationState,
  last_outcome: Type.Union([Outcome, Type.Null()], {
    description: 'How its last turn ended; null: none has.',
  }),
  last_line: Type.String(),
  mail_waiting: Type.Integer({ minimum: 0 }),
});
const TeamOutput = Type.Object({ team: Type.Array(Member) });

/** All of them, in the order in which they are shown. */
export const tools: readonly Tool[] = [
  tool({
    name: 'spawn_agent',
    title: 'Make an agent',
    description:
      'Makes an agent that works for you on one task, beside you and on its own. Answers as soon as it exists and has its prompt, before it has done anything. How its task ends (its answer, or how it failed) is given to you as a message, by itself, when your turn is over: you need not wait or ask for it. Refused with budget_exceeded over a limit of your team.',
    input: SpawnInput,
    output: SpawnOutput,
    readOnly: false,
    idempotent: true,
    async run({ conversationId, agents }, input) {
      const { name, prompt, agent_id, role, provider, model, workspace } = input;
      const child = await agents.spawn(conversationId, {
        name,
        content: prompt,
        ...(agent_id === undefined ? {} : { agentId: agent_id }),
        ...(role === undefined ? {} : { role }),
        ...(provider === undefined ? {} : { provider }),
        ...(model === undefined ? {} : { model }),
        ...(workspace === undefined ? {} : { workspacePath: workspace }),
      });
      return { agent_id: child.agentId, conversation_id: child.conversationId };
    },
  }),
  tool({
    name: 'send_message',
    title: 'Write to an agent',
    description:
      'Writes to an agent of your team: one that you have made, the one that made you, or any other. It is kept until its receiver takes it: at once when that is idle (it starts a turn), else when its turn ends. An answer comes as a message to you, when your turn is over.',
    input: SendInput,
    output: SendOutput,
    readOnly: false,
    idempotent: false,
    async run({ conversationId, agents }, input) {
      const { to, content, message_id = randomUUID() } = input;
      const body = { to, content, messageId: message_id };
      // Answered before its row is there, its sender may end first, and that is told before what it has written.
      for (let asked = 0; asked < RECORD_ASKS; asked += 1) {
        const sent = await agents.send(conversationId, body);
        if (sent.status === 'recorded')
          return { message_id: sent.row.messageId, state: sent.row.state };
      }
      throw new HoldfastError(
        'temporal_unavailable',
        `The message is accepted and will be given to its receiver; it is not recorded yet. To be sure, call again with message_id "${message_id}".`,
        { accepted: true },
      );
    },
  }),
  tool({
    name: 'check_inbox',
    title: 'See what waits for you',
    description:
      'Shows the messages that wait for you. It takes none: each is given to you in full, by itself, when your turn is over, whether you look or not.',
    input: Nothing,
    output: InboxOutput,
    readOnly: true,
    idempotent: true,
    async run({ conversationId, agents }) {
      const pages = await Promise.all(
        // What is in the queue already comes before what is not.
        (['delivered', 'accepted'] as const).map((state) =>
          agents.mailbox(conversationId, { box: 'in', state, limit: INBOX_ROWS }),
        ),
      );
      // Between the two reads a row may have gone from the one state to the other.
      const rows = new Map(
        pages
          .flatMap(({ items }) => items)
          .map((row) => [`${row.fromConversationId} ${row.messageId}`, row]),
      );
      return {
        waiting: [...rows.values()].map(waitingOf),
        more: pages.some(({ nextCursor }) => nextCursor !== null),
      };
    },
  }),
  tool({
    name: 'list_team',
    title: 'See your team',
    description:
      'Shows the agents of your team as they stand, an agent before those that it has made: what each is doing, how its last turn ended, and its last words.',
    input: Nothing,
    output: TeamOutput,
    readOnly: true,
    idempotent: true,
    async run({ conversationId, agents }) {
      const { agents: members } = await agents.team(conversationId);
      const agentIds = new Map(members.map((member) => [member.conversationId, member.agentId]));
      return {
        team: members.map((member) => ({
          ...memberOf(member),
          you: member.conversationId === conversationId,
          parent:
            member.parentId === null ? null : (agentIds.get(member.parentId) ?? member.parentId),
        })),
      };
    },
  }),
];

/** Checks the arguments before anything else is done. */
function tool<Input extends TSchema>(
  parts: Omit<Tool, 'input' | 'run'> & {
    input: Input;
    run(caller: Caller, input: Static<Input>): Promise<Record<string, unknown>>;
  },
): Tool {
  const check = compileCheck<Static<Input>>(parts.input);
  return {
    ...parts,
    run: async (caller, input) => {
      const checked = check(input ?? {});
      if (!checked.valid)
        throw invalidRequest(
          checked.faults,
          `Wrong arguments of ${parts.name}: ${checked.faults
            .map(({ path, message }) => `${path === '' ? 'they' : path.slice(1)} ${message}`)
            .join('; ')}.`,
        );
      return await parts.run(caller, checked.value);
    },
  };
}

function waitingOf(row: MailRowValue): Static<typeof Waiting> {
  return {
    message_id: row.messageId,
    from: row.from,
    kind: row.kind,
    ...(row.outcome === undefined ? {} : { outcome: row.outcome }),
    state: row.state,
    accepted_at: row.acceptedAt,
    content: cut(row.content, INBOX_CHARS),
  };
}

function memberOf(member: AgentViewValue): Omit<Static<typeof Member>, 'you' | 'parent'> {
  return {
    agent_id: member.agentId,
    name: member.name,
    role: member.role,
    provider: member.provider,
    state: member.state,
    last_outcome: member.outcome,
    last_line: cut(member.lastLine, LINE_CHARS),
    mail_waiting: member.mail.accepted + member.mail.delivered,
  };
}

/** In whole characters. */
function cut(text: string, chars: number): string {
  return text.length > chars
    ? `${text
        .slice(0, chars)
        .toWellFormed()
        .replace(/\uFFFD$/u, '')}…`
    : text;
}
