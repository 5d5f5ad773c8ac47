/** The team of a conversation: its tree, kept up to date, and its mail. */
import type {
  MailboxAnswerValue,
  MailRowValue,
  TeamViewValue,
} from '../../src/contracts/agents.ts';
import type { AgentViewValue, Event } from '../../src/contracts/events.ts';
import type { TeamHandle, TeamState } from './contract.ts';
import type { Engine } from './engine.ts';
import { path } from './http.ts';
import { openedOf } from './opened.ts';
import { Value } from './readable.ts';
import type { Stream } from './streams.ts';
import { shapeOf } from './wire.ts';

const MAIL_PAGE = 50;

export class TeamStore {
  readonly conversationId: string;
  readonly state: Value<TeamState>;
  readonly #engine: Engine;
  readonly #stream: Stream;
  readonly #flush = (): void => this.#fold();
  #pending: Event[] = [];
  #cursor: number | null = null;

  constructor(engine: Engine, conversationId: string) {
    this.#engine = engine;
    this.conversationId = conversationId;
    this.state = new Value<TeamState>({
      is: 'loading',
      problem: null,
      team: { rootId: conversationId, agents: [], lastSeq: 0 },
    });
    this.#stream = engine.streams.open('team', conversationId, {
      cursor: () => this.#cursor,
      onSnapshot: (payload) => {
        const team = shapeOf<TeamViewValue>(payload);
        if (team === null) return;
        this.#pending = [];
        this.#cursor = team.lastSeq;
        this.state.set({ is: 'ready', problem: null, team });
      },
      onEvent: (event) => {
        this.#cursor = event.seq;
        this.#pending.push(event);
        engine.frames.request(this.#flush);
      },
      onCaughtUp: () => undefined,
      onLost: () => undefined,
      onProblem: (problem) => this.state.set({ ...this.state.get(), is: 'failed', problem }),
    });
  }

  close(): void {
    this.#engine.frames.forget(this.#flush);
    this.#engine.streams.close(this.#stream);
  }

  #fold(): void {
    const events = this.#pending;
    this.#pending = [];
    const state = this.state.get();
    const team = foldTeam(state.team, events);
    if (team !== state.team) this.state.set({ ...state, team });
  }
}

/** The tree is the last word on each of its members; a new one stands behind its parent and that one's others. */
export function foldTeam(team: TeamViewValue, events: readonly Event[]): TeamViewValue {
  let agents: AgentViewValue[] | null = null;
  let { lastSeq } = team;
  for (const event of events) {
    if (event.seq <= lastSeq) continue;
    lastSeq = event.seq;
    if (event.type !== 'agent.changed') continue;
    const { agent } = event.payload;
    agents ??= [...team.agents];
    const place = agents.findIndex((each) => each.conversationId === agent.conversationId);
    if (place === -1) agents.push(agent);
    else agents[place] = agent;
  }
  return lastSeq === team.lastSeq ? team : { ...team, agents: agents ?? team.agents, lastSeq };
}

export function teamHandle(engine: Engine, store: TeamStore, release: () => void): TeamHandle {
  const { http, parts } = engine;
  const at = (conversationId: string, ...rest: string[]): string =>
    path('conversations', conversationId, ...rest);
  return {
    ...openedOf(store.state, release),
    spawn: (parentId, request) =>
      http.get<object>({
        method: 'POST',
        path: at(parentId, 'agents'),
        body: request,
        // Without a name it is another one each time.
        repeats: request.agentId === undefined && request.name === undefined ? 0 : 2,
      }),
    mailbox: (conversationId, { box, cursor }) =>
      http.get<MailboxAnswerValue>({
        method: 'GET',
        path: at(conversationId, 'mailbox'),
        query: { box, cursor, limit: MAIL_PAGE },
        repeats: 1,
      }),
    write: (fromConversationId, { to, content }) =>
      http.get<MailRowValue>({
        method: 'POST',
        path: at(fromConversationId, 'mailbox'),
        body: { messageId: parts.freshId(), to, content },
        repeats: 2,
      }),
    resend: (conversationId, row) =>
      http.get<object>({
        method: 'POST',
        path: at(conversationId, 'mailbox', row.messageId, 'resend'),
        body: row.from === null ? {} : { from: row.from },
      }),
  };
}
