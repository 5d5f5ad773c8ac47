/**
 * What is in the way of a conversation, outside of it: Temporal, the worker, its Workflow, the turn host, the disk, the
 * supervisor. Each by evidence of its own; what could not be asked is no obstacle, unless that itself is one.
 */
import type { WhyValue } from '../contracts/http.ts';
import { conversationWorkflowId } from '../contracts/ids.ts';
import type { EngineProcess, NextStep, Obstacle, WhyFacts } from './why-facts.ts';
import { lasting, secondsBetween } from './why-words.ts';

/** A process whose pulse (each second) is older stands still. */
const STILL_MS = 5_000;
/** A process that was started so lately may still be loading. */
const STARTING_MS = 20_000;
/** Temporal gives the turn's Activity to another host after 3 s without a heartbeat (limits.ts); one that lives is back within this. */
const UNATTENDED_MS = 6_000;
/** So often a Workflow Task may fail for reasons that pass (a worker that was replaced). */
const FAILS_FROM = 3;

/** In the order in which they are said. */
export function obstaclesOf(facts: WhyFacts, next: NextStep): Obstacle[] {
  return [
    temporalAway(facts),
    workflowStuck(facts),
    workerAway(facts),
    workflowLost(facts, next),
    turnHostAway(facts),
    diskFull(facts),
    supervisorAway(facts),
  ].filter((obstacle) => obstacle !== null);
}

function temporalAway(facts: WhyFacts): Obstacle | null {
  const { temporal, embeddedTemporal } = facts;
  if (temporal.answered) return null;
  const server = processOf(facts, 'temporal');
  const base = { name: 'temporal', state: 'temporal-away', since: null } as const;
  const evidence = [{ what: 'Temporal', value: temporal.says }, ...asEvidence(server)];
  const says =
    'The Temporal server does not answer, so no command is taken: no message, no cancel, no approval.';
  if (!embeddedTemporal)
    return {
      ...base,
      says,
      fix: {
        command: 'holdfast doctor',
        why: 'The server is not Holdfast’s own: this says at which address it was asked, and what came of it. It goes on by itself when the server is back.',
      },
      evidence,
    };
  return { ...base, says, ...restart(facts, { role: 'temporal', server }), evidence };
}

function workerAway(facts: WhyFacts): Obstacle | null {
  const { temporal } = facts;
  if (!temporal.answered) return null;
  const { worker, workflow, polledAt } = temporal.value;
  const server = processOf(facts, 'worker');
  const isGone = server === 'gone' || (typeof server === 'object' && isStill(server));
  // A Workflow that is not there cannot be asked; then only the process tells.
  const isAway = worker.is === 'silent' || (worker.is === 'not-asked' && isGone);
  if (!isAway) return null;
  const task = workflow.is === 'running' ? workflow.task : null;
  return {
    name: 'worker',
    state: 'worker-away',
    says: 'No worker answers for this conversation: what is sent to it is kept by Temporal, and nobody takes it up.',
    since: task?.since ?? null,
    ...restart(facts, { role: 'worker', server }),
    evidence: [
      ...(worker.is === 'silent' ? [{ what: 'worker', value: worker.says }] : []),
      ...(task === null ? [] : [{ what: 'a task waits since', value: task.since }]),
      { what: 'a worker last asked for work', value: polledAt.workflows ?? 'nobody does' },
      ...asEvidence(server),
    ],
  };
}

function workflowStuck({ temporal, view }: WhyFacts): Obstacle | null {
  if (!temporal.answered) return null;
  const { worker, workflow } = temporal.value;
  if (workflow.is !== 'running') return null;
  const failures = workflow.task?.attempt ?? 1;
  if (worker.is !== 'failing' && (worker.is === 'answers' || failures < FAILS_FROM)) return null;
  // Tasks that nobody takes are given out again too: then it is the worker that is missing.
  if (worker.is === 'silent' && workflow.task?.isTaken !== true) return null;
  const workflowId = conversationWorkflowId(view.conversationId);
  return {
    name: 'workflow',
    state: 'workflow-stuck',
    says: 'Its Workflow fails again and again, so nothing is decided here.',
    since: workflow.task?.since ?? null,
    fix: {
      command: `temporal workflow terminate --workflow-id ${workflowId} --reason stuck`,
      why: 'It begins anew from the store, within 15 s or with the next message, and a turn that runs goes on. What was accepted and not recorded yet (answered 202) is lost: send it again. The failure is in the Web UI and in the worker’s log.',
    },
    evidence: [
      ...(worker.is === 'failing' ? [{ what: 'its worker says', value: worker.says }] : []),
      { what: 'tries of the same task', value: String(failures) },
    ],
  };
}

function workflowLost({ temporal }: WhyFacts, { state }: NextStep): Obstacle | null {
  if (!temporal.answered) return null;
  const { workflow } = temporal.value;
  // One that nothing is to be done in is started with its next message.
  if (workflow.is === 'running' || state === 'idle' || state === 'ended-badly') return null;
  return {
    name: 'workflow',
    state: 'workflow-lost',
    says:
      workflow.is === 'unknown'
        ? 'Temporal does not know its Workflow; the worker starts it again from the store, within 15 s.'
        : 'Its Workflow was ended from outside; the worker starts it again from the store, within 15 s.',
    since: null,
    fix: null,
    evidence: [
      { what: 'Workflow', value: workflow.is === 'unknown' ? 'unknown' : workflow.status },
    ],
  };
}

function turnHostAway(facts: WhyFacts): Obstacle | null {
  const { temporal, now } = facts;
  const server = processOf(facts, 'turn-host');
  const workflow = temporal.answered ? temporal.value.workflow : null;
  const turn = workflow?.is === 'running' ? workflow.turn : null;
  const isUnattended =
    turn !== null &&
    secondsBetween(turn.heartbeatAt ?? turn.since, now) * 1_000 > UNATTENDED_MS &&
    // A turn that waits for room is given out again, and refused, by a host that lives.
    turn.failure === null;
  const isGone = server === 'gone' || (typeof server === 'object' && isStill(server));
  // Its own process is the better witness: a heartbeat says nothing of a server that stood still itself.
  const isAway = server === 'unknown' ? isUnattended : isGone;
  if (!isAway) return null;
  return {
    name: 'turn-host',
    state: 'turn-host-away',
    says:
      facts.view.activeTurn === null
        ? 'The turn host is away: no turn begins.'
        : 'The turn host is away: its provider goes on, and what it says is kept, but nobody reads it just now.',
    since: turn?.heartbeatAt ?? null,
    ...restart(facts, { role: 'turn-host', server }),
    evidence: [
      ...(turn === null
        ? []
        : [{ what: 'the turn host’s last heartbeat', value: turn.heartbeatAt ?? 'none' }]),
      ...asEvidence(server),
    ],
  };
}

function diskFull({ room }: WhyFacts): Obstacle | null {
  if (room.level === 'ample') return null;
  const free = megabytes(room.freeBytes);
  const reserve = megabytes(room.reserveBytes);
  return {
    name: 'disk',
    state: 'disk-full',
    says: `The disk is full: ${free} are free, and Holdfast keeps ${reserve} for what runs. Nothing new is begun.`,
    since: null,
    fix: {
      command: 'holdfast doctor',
      why: `Says which disk; make ${megabytes(room.reserveBytes - room.freeBytes)} of room there. What waits then starts by itself.`,
    },
    evidence: [{ what: 'free on the disk', value: `${free} of a reserve of ${reserve}` }],
  };
}

function supervisorAway(facts: WhyFacts): Obstacle | null {
  if (processOf(facts, 'supervisor') !== 'gone') return null;
  return {
    name: 'supervisor',
    // Never what a conversation waits for.
    state: 'running',
    says: 'The supervisor was killed: what dies now is not started again.',
    since: null,
    fix: REPAIR,
    evidence: [{ what: 'supervisor', value: 'is gone' }],
  };
}

const REPAIR = {
  command: 'holdfast start',
  why: 'Starts what is missing. Turns that run go on.',
} as const;

/** `unknown`: nobody has told which processes there are. */
type Found = EngineProcess | 'gone' | 'unknown';

function processOf({ processes }: WhyFacts, role: EngineProcess['role']): Found {
  if (processes === null) return 'unknown';
  return processes.find((each) => each.role === role) ?? 'gone';
}

function isStill({ stillForMs }: EngineProcess): boolean {
  return stillForMs !== null && stillForMs > STILL_MS;
}

/** How a process comes back that is gone or does not serve: by itself where that takes seconds. */
function restart(
  facts: WhyFacts,
  { role, server }: { role: 'temporal' | 'worker' | 'turn-host'; server: Found },
): Pick<Obstacle, 'fix'> {
  if (server === 'unknown' || processOf(facts, 'supervisor') === 'gone') return { fix: REPAIR };
  // The supervisor starts it again, at once or after a pause that it says in its log.
  if (server === 'gone') return { fix: null };
  const ageMs = secondsBetween(server.startedAt, facts.now) * 1_000;
  // It is loading; or, a worker, about to be given what its predecessor had: Temporal waits up to 10 s with that.
  if (!isStill(server) && ageMs < STARTING_MS) return { fix: null };
  // A worker that beats and does not answer is busy.
  if (!isStill(server) && role !== 'temporal') return { fix: null };
  return {
    fix: {
      command: `kill -KILL ${server.pid}`,
      why: `That process (${role}) stands still. The supervisor starts it again at once; nothing that was said or accepted is lost.`,
    },
  };
}

function asEvidence(server: Found): WhyValue['evidence'] {
  if (server === 'unknown') return [];
  if (server === 'gone')
    return [{ what: 'its process', value: 'is gone, and is being started again' }];
  const { pid, startedAt, stillForMs } = server;
  const still = isStill(server) ? `, stands still for ${lasting(stillForMs ?? 0)}` : '';
  return [{ what: 'its process', value: `${pid}, since ${startedAt}${still}` }];
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 ** 2)} MB`;
}
