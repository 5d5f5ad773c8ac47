/**
 * T2: the tree is what its members are.
 *
 *  1 The team's stream, folded, is what `GET …/agents` says, whichever member is asked.
 *  2 What the stream is told of a member is what that one's own log has just said, and its mailbox.
 *  3 In the end every member is in it, as its own snapshot and turns say it is, a parent before its children.
 */
import type { AgentViewValue, Event } from '../../src/contracts/events.ts';
import { teamStream } from '../../src/contracts/ids.ts';
import { type Court, firstDifference, type Known, OUTCOME_OF } from './court.ts';
import type { Evidence } from './evidence.ts';
import { checkClient, checkLog, checkRereads } from './stream-rules.ts';
import { agentIdOf, MailboxReader, type Member, ordersOf, type Team } from './team-log.ts';

type Tree = readonly AgentViewValue[];

export function checkTree(court: Court, teams: readonly Team[], run: Evidence): void {
  for (const team of teams) {
    const { evidence, stream, rootId, events } = team;
    court.expect('T2', evidence !== null && team.members.has(rootId), () => ({
      what: `${rootId} has agents, and ${team.members.has(rootId) ? 'no tree could be read' : 'does not exist'}`,
      conversationId: rootId,
      excerpt: [...team.members.keys()],
    }));
    if (evidence === null) continue;
    checkLog(court, stream);
    checkRereads(court, stream);
    for (const client of run.clients)
      if (client.stream === teamStream(rootId))
        checkClient(court, stream, client, (entry) => {
          if (entry.is === 'team')
            checkView(court, team, entry.view, `a snapshot of ${client.client}`);
        });
    checkView(court, team, evidence.view, 'the last tree');
    court.expect('T2', firstDifference(evidence.viewOfMember, evidence.view) === null, () => ({
      what: `the tree of ${rootId}, asked of another member, is another: ${firstDifference(evidence.viewOfMember, evidence.view)}`,
      ...stream.at([]),
    }));
    new Telling(court, team).run();
    checkMembers(court, team, evidence.view.agents);
    const strange = events.find(({ type }) => type !== 'agent.changed');
    court.expect('T2', strange === undefined, () => ({
      what: `the stream of team ${rootId} has a ${strange?.type}`,
      ...stream.at([strange?.seq ?? 0]),
    }));
  }
}

/** The last of each member, by conversationId. */
function foldTeam(events: readonly Event[], start: Tree = []): Map<string, AgentViewValue> {
  const agents = new Map(start.map((agent) => [agent.conversationId, agent]));
  for (const event of events)
    if (event.type === 'agent.changed')
      agents.set(event.payload.agent.conversationId, event.payload.agent);
  return agents;
}

const sorted = (agents: Iterable<AgentViewValue>): Tree =>
  [...agents].toSorted((a, b) => (a.conversationId < b.conversationId ? -1 : 1));

function checkView(
  court: Court,
  { events, rootId, stream }: Team,
  view: { rootId: string; agents: Tree; lastSeq: number },
  whose: string,
): void {
  // A root without a child is a team of its own, and no stream tells of it.
  const isAlone = view.lastSeq === 0 && view.agents.length === 1;
  const upTo = foldTeam(
    events.filter(({ seq }) => seq <= view.lastSeq),
    isAlone ? view.agents : [],
  );
  const tail = foldTeam(
    events.filter(({ seq }) => seq > view.lastSeq),
    view.agents,
  );
  for (const [what, got, wanted] of [
    [`${whose} at seq ${view.lastSeq} is not the stream folded`, view.agents, upTo.values()],
    [
      `${whose} at seq ${view.lastSeq} with the rest of the stream is not the whole stream folded`,
      tail.values(),
      foldTeam(events).values(),
    ],
  ] as const) {
    const differs = firstDifference(sorted(got), sorted(wanted));
    court.expect('T2', differs === null, () => ({
      what: `team ${rootId}: ${what}: ${differs}`,
      ...stream.at([view.lastSeq]),
    }));
  }
  const misplaced = view.agents.find(({ parentId }, index) =>
    parentId === null
      ? index !== 0
      : view.agents.findIndex((other) => other.conversationId === parentId) >= index ||
        !view.agents.some((other) => other.conversationId === parentId),
  );
  court.expect('T2', misplaced === undefined && view.rootId === rootId, () => ({
    what: `team ${rootId}: ${whose} has ${misplaced?.agentId} before its parent`,
    ...stream.at([]),
  }));
}

/** What a member's own events say of it so far, of what the tree shows. */
type Facts = Pick<AgentViewValue, 'state' | 'queued' | 'approvals' | 'outcome' | 'mail'>;

/** Goes through the events of a team in the order of commits: rule 2. */
class Telling {
  readonly #court: Court;
  readonly #team: Team;
  readonly #facts = new Map<string, Facts>();
  readonly #mailboxes = new Map<string, MailboxReader>();

  constructor(court: Court, team: Team) {
    this.#court = court;
    this.#team = team;
  }

  run(): void {
    const { members, evidence, events, rootId, stream } = this.#team;
    const placed: { order: number; event: Event; of: Known | null }[] = [];
    const own = new Map(evidence?.places.map(({ seq, order }) => [seq, order]));
    for (const event of events)
      placed.push({ order: own.get(event.seq) ?? Infinity, event, of: null });
    for (const { known } of members.values()) {
      const orders = ordersOf(known);
      for (const event of known.events) {
        const order = orders.get(event.seq);
        // One that was compacted away has no place any more.
        if (order !== undefined) placed.push({ order, event, of: known });
      }
    }
    for (const { event, of } of placed.toSorted((a, b) => a.order - b.order)) {
      if (of !== null) {
        this.#learn(of.evidence.conversationId, event);
        continue;
      }
      if (event.type !== 'agent.changed') continue;
      const { agent } = event.payload;
      const facts = this.#facts.get(agent.conversationId);
      const differs =
        facts === undefined
          ? 'that one does not exist'
          : firstDifference(
              Object.fromEntries(
                Object.keys(facts).map((name) => [name, Reflect.get(agent, name) as unknown]),
              ),
              facts,
            );
      this.#court.expect('T2', differs === null, () => ({
        what: `team ${rootId} was told otherwise of ${agent.agentId} (${agent.conversationId}) than that one says: ${differs}`,
        ...stream.at([event.seq]),
      }));
    }
  }

  #learn(conversationId: string, event: Event): void {
    const facts = this.#facts.get(conversationId) ?? {
      state: 'idle',
      queued: 0,
      approvals: 0,
      outcome: null,
      mail: { accepted: 0, delivered: 0, applied: 0, failed: 0, expired: 0 },
    };
    this.#facts.set(conversationId, facts);
    const mailbox = this.#mailboxes.get(conversationId) ?? new MailboxReader();
    this.#mailboxes.set(conversationId, mailbox);
    mailbox.see(event, 0);
    facts.mail = mailbox.counts();
    switch (event.type) {
      case 'conversation.state':
        facts.state = event.payload.state;
        return;
      case 'queue.changed':
        facts.queued = event.payload.queue.length;
        return;
      case 'approval.requested':
        facts.approvals += 1;
        return;
      case 'approval.resolved':
        facts.approvals -= 1;
        return;
      default: {
        const outcome = OUTCOME_OF[event.type];
        if (outcome !== undefined && event.attempt !== undefined) facts.outcome = outcome;
      }
    }
  }
}

/** Rule 3. */
function checkMembers(court: Court, team: Team, agents: Tree): void {
  const { rootId, members, stream } = team;
  const listed = agents.map(({ conversationId }) => conversationId).toSorted();
  court.expect('T2', listed.join() === [...members.keys()].toSorted().join(), () => ({
    what: `the tree of ${rootId} has ${listed.length} members, or others, than the ${members.size} that there are`,
    ...stream.at([]),
  }));
  for (const agent of agents) {
    const member = members.get(agent.conversationId);
    if (member === undefined) continue;
    const facts = factsOf(member, rootId);
    const differs = firstDifference(
      Object.fromEntries(
        Object.keys(facts).map((name) => [name, Reflect.get(agent, name) as unknown]),
      ),
      facts,
    );
    court.expect('T2', differs === null, () => ({
      what: `the tree of ${rootId} says otherwise of ${agent.agentId} (${agent.conversationId}) than that one does: ${differs}`,
      conversationId: agent.conversationId,
      excerpt: [JSON.stringify(agent)],
    }));
  }
}

function factsOf(member: Member, rootId: string): Partial<AgentViewValue> {
  const { known, link, mailbox } = member;
  const { view, turns } = known.evidence;
  const created = known.events.find(({ type }) => type === 'conversation.created');
  const mail = { accepted: 0, delivered: 0, applied: 0, failed: 0, expired: 0 };
  for (const { state } of mailbox.rows.values()) mail[state] += 1;
  const last = known.events.findLast(
    ({ type, attempt }) => type in OUTCOME_OF && attempt !== undefined,
  );
  const place: Partial<AgentViewValue> =
    link === null
      ? { parentId: null, depth: 0 }
      : { parentId: link.parentId, depth: link.depth, role: link.role };
  return {
    agentId: link === null && view.conversationId === rootId ? 'root' : agentIdOf(member),
    name: view.title,
    ...place,
    provider: view.provider,
    model: view.model,
    workspacePath: view.workspacePath,
    state: view.state,
    queued: view.queue.length,
    approvals: view.approvals.length,
    turnCount: turns.length,
    usage: view.usage,
    outcome: OUTCOME_OF[last?.type ?? ''] ?? null,
    mail,
    ...(created === undefined ? {} : { createdAt: created.at }),
  };
}
