/**
 * One torture run: starts the real thing, lets random programs and faults at it, heals, gathers, checks.
 *
 * 1 It ends by itself: every wait has a limit.
 * 2 When it ends, however it ends, none of its processes is left.
 * 3 Its folder is kept when something was violated, and removed otherwise.
 */
import { execFile } from 'node:child_process';
import { cpSync, lstatSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';

import {
  attemptKey,
  conversationStream,
  conversationWorkflowId,
  tableStream,
  tableWorkflowId,
  teamStream,
  triggerStream,
} from '../../src/contracts/ids.ts';
import { TRIGGER_LATE_MS, TRIGGER_LATEST_MS } from '../../src/contracts/limits.ts';
import { keptFolder } from '../support/scratch.ts';
import { findTemporalBinary } from '../support/temporal-server.ts';
import { Actor, isSettled, type Recorder } from './actor.ts';
import { AgentActor } from './agent-actor.ts';
import {
  agentsIn,
  gatherConversation,
  gatherHistories,
  gatherTable,
  gatherTeam,
  gatherTrigger,
} from './audit.ts';
import { check } from './checker.ts';
import { HttpClient, Texts } from './client.ts';
import type { Verdict } from './court.ts';
import {
  AGENT_PHASES,
  type Evidence,
  type Fault,
  type FaultKind,
  type Phase,
  type RoleUse,
  TRIGGER_PHASES,
} from './evidence.ts';
import { Injector, pause } from './faults.ts';
import { Random } from './random.ts';
import {
  agentCounts,
  faultCounts,
  faultTable,
  invariantCounts,
  metCounts,
  tableCounts,
  triggerCounts,
  violationText,
} from './report.ts';
import { SpoolKeeper } from './spools.ts';
import { choosePort, SESSION_IDLE_MS, SILENCE, Stack, TRIGGER_GRACE_MS } from './stack.ts';
import { TriggerActor } from './trigger-actor.ts';
import { isHeld, type Live, type LiveTrigger, openMail, Watcher } from './watcher.ts';

export type TortureOptions = {
  seed: string;
  minutes: number;
  /** Conversations that stand alone, at once. */
  conversations: number;
  /** Tables with several conversations each. */
  tables: number;
  /** Triggers at once. */
  triggers: number;
  /** Teams of agents at once. */
  agents: number;
  /** Between two faults. */
  pauseMs: { least: number; most: number };
  environment: Readonly<Record<string, string | undefined>>;
  say: (line: string) => void;
  signal: AbortSignal;
};

export type TortureResult = {
  verdict: Verdict;
  faults: readonly Fault[];
  hits: ReadonlyMap<string, number>;
  /** Where everything is kept; null: nothing was violated, and it was removed. */
  folder: string | null;
};

/** W1, on a machine that has the time for it. Source: design.md section 12. */
const SETTLED_WITHIN_MS = 60_000;
/** Until then, and past the limit in any case, it is waited for, to tell what is slow from what is stuck. */
const GIVE_UP_AFTER_MS = 150_000;
const PAST_THE_LIMIT_MS = 30_000;
const SETTLED_FOR_MS = 2_000;
/** A silent turn is ended so soon after its limit, its provider's way to its end apart. */
const STALLED_LATE_MS = 5_000;
/** What is due is decided so soon, when nothing is broken any more. */
const LOOKED_WITHIN_MS = 10_000;
/** P1: a process may live so long after its turn's end. Source: design.md section 12. */
const GONE_WITHIN_MS = 10_000;
/** Of some thousand short workflows, those whose histories are replayed. */
const REPLAYED_OF_TRIGGERS = 200;
const REPORT_EVERY_MS = 10_000;
const MEASURE_EVERY_MS = 5_000;
/** Ended spools that custody keeps, and room for the living ones. */
const SPOOLS_LEFT = 20 + 24;

export async function torture(options: TortureOptions): Promise<TortureResult> {
  const { seed, minutes, say, signal } = options;
  say(
    `torture: seed ${seed}, ${minutes} minutes, ${options.conversations} conversations alone, ${options.tables} tables, ${options.triggers} triggers and ${options.agents} teams at once`,
  );
  // What it may take to have one is no part of the run.
  await findTemporalBinary();
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-torture-'));
  const keptIn = join(keptFolder(), basename(folder));
  const port = await choosePort();
  const stack = new Stack({ folder, port, environment: options.environment });
  const ours = new Set<string>();
  const isOurs = (turnId: string): boolean => ours.has(turnId);
  // Also when the process is ended without being asked.
  const atExit = (): void => stack.endNow(isOurs);
  process.on('exit', atExit);
  let kept = true;
  try {
    const run = new Run({ options, folder, stack, ours });
    const result = await run.run();
    kept = result.verdict.violations.length > 0;
    return { ...result, folder: kept ? keptIn : null };
  } catch (error) {
    // Ended by hand: there is nothing to look at.
    kept = !signal.aborted;
    throw error;
  } finally {
    await stack.end(isOurs);
    process.off('exit', atExit);
    if (kept) {
      if (keptIn !== folder) cpSync(folder, keptIn, { recursive: true, filter: isCopied });
      say(`Everything is kept in ${keptIn}`);
    }
    if (!kept || keptIn !== folder) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

class Run {
  readonly #options: TortureOptions;
  readonly #folder: string;
  readonly #stack: Stack;
  /** Turns of this run, by which its processes are known. */
  readonly #ours: Set<string>;
  readonly #texts = new Texts();
  readonly #use = new Map<string, RoleUse>();
  readonly #recorder: Recorder = {
    commands: [],
    acts: [],
    cancels: [],
    clients: [],
    triggerActs: [],
    readings: [],
    agentActs: [],
  };

  constructor(parts: { options: TortureOptions; folder: string; stack: Stack; ours: Set<string> }) {
    this.#options = parts.options;
    this.#folder = parts.folder;
    this.#stack = parts.stack;
    this.#ours = parts.ours;
  }

  async run(): Promise<Omit<TortureResult, 'folder'>> {
    const { seed, conversations, tables, triggers, agents, minutes } = this.#options;
    const { pauseMs, say, signal } = this.#options;
    const stack = this.#stack;
    stack.start();
    await orAborted(stack.ready(), signal);
    stack.plantStrangers();
    const watcher = await Watcher.open({ database: stack.database, texts: this.#texts });
    const keeper = new SpoolKeeper({
      spools: stack.spools,
      keptIn: join(this.#folder, 'kept-spools'),
    });
    const stopNoting = watcher.onEvent(({ turn }) => {
      if (turn !== null) this.#ours.add(turn.turnId);
    });
    const random = new Random(seed);
    const newActor = (place: 'alone' | 'table', index: number): Actor =>
      new Actor({
        name: `${place === 'alone' ? 'c' : 't'}${index + 1}`,
        place,
        random: random.fork(`${place} ${index}`),
        watcher,
        address: () => stack.address(),
        texts: this.#texts,
        recorder: this.#recorder,
      });
    const finished = new AbortController();
    const newTriggerActor = (index: number): TriggerActor =>
      new TriggerActor({
        name: `g${index + 1}`,
        turn: index,
        tables: Array.from({ length: tables }, (_, of) => `t${of + 1}`),
        random: random.fork(`trigger ${index}`),
        watcher,
        address: () => stack.address(),
        texts: this.#texts,
        recorder: this.#recorder,
        finished: finished.signal,
      });
    const newAgentActor = (index: number): AgentActor =>
      new AgentActor({
        name: `a${index + 1}`,
        random: random.fork(`agents ${index}`),
        watcher,
        address: () => stack.address(),
        texts: this.#texts,
        recorder: this.#recorder,
        finished: finished.signal,
      });
    const actors: (Actor | TriggerActor | AgentActor)[] = [
      ...Array.from({ length: conversations }, (_, index) => newActor('alone', index)),
      ...Array.from({ length: tables }, (_, index) => newActor('table', index)),
      ...Array.from({ length: triggers }, (_, index) => newTriggerActor(index)),
      ...Array.from({ length: agents }, (_, index) => newAgentActor(index)),
    ];
    const without: readonly Phase[] = [
      ...(tables === 0 ? (['waiting-for-slot', 'giving-way'] as const) : []),
      ...(triggers === 0 ? TRIGGER_PHASES : []),
      ...(agents === 0 ? AGENT_PHASES : []),
    ];
    const faults = random.fork('faults');
    const injector = new Injector({ stack, watcher, random: faults, pauseMs, without });
    const measuring = setInterval(() => this.#measure(), MEASURE_EVERY_MS);
    const reporting = setInterval(
      () => say(liveLine(watcher, injector.faults, this.#recorder)),
      REPORT_EVERY_MS,
    );
    try {
      const programs = Promise.all(actors.map((actor) => actor.run()));
      const caring = Promise.all(actors.map((actor) => actor.lookAfter(finished.signal)));
      const injecting = injector.run();
      const working: Promise<unknown>[] = [programs, caring, injecting];
      for (const each of working) each.catch(() => undefined);
      await orAborted(Promise.race([pause(minutes * 60_000, signal), ...working]), signal);

      injector.stop();
      for (const actor of actors) actor.stop();
      await orAborted(injecting, signal);
      const healing = await this.#heal({ watcher, injector, programs });
      finished.abort();
      await caring;
      say(
        healing.settledAfterMs === null
          ? 'Not everything has ended.'
          : `Healed: everything had ended ${(healing.settledAfterMs / 1_000).toFixed(1)} s after the last fault.`,
      );
      const evidence = await this.#gather({ watcher, keeper, injector, healing });
      const verdict = check(evidence);
      this.#tell(verdict, evidence, injector.hits);
      if (verdict.violations.length > 0) this.#keepEvidence(evidence, verdict);
      return { verdict, faults: injector.faults, hits: injector.hits };
    } finally {
      clearInterval(measuring);
      clearInterval(reporting);
      injector.stop();
      for (const actor of actors) actor.stop();
      finished.abort();
      stopNoting();
      keeper.close();
      await watcher.close();
    }
  }

  /** Continues and starts what was hit, and waits until nothing runs or waits any more. */
  async #heal({
    watcher,
    injector,
    programs,
  }: {
    watcher: Watcher;
    injector: Injector;
    programs: Promise<unknown>;
  }): Promise<Evidence['healing']> {
    const { say, signal } = this.#options;
    const stack = this.#stack;
    stack.continueAll();
    const startMs = Math.max(Date.now(), injector.faults.at(-1)?.atMs ?? 0);
    if (!stack.isSupervised) {
      stack.start();
      await stack.ready(90_000).catch(() => undefined);
    }
    let answered = false;
    void programs.then(() => (answered = true));
    const isQuiet = (): boolean =>
      answered &&
      watcher.all().every((live) => isOver(live) || live.lastSeq === 0) &&
      watcher.triggers().every((trigger) => isAtRest(trigger));
    // What was accepted last may not have begun: it has settled when it stays so.
    let quietSinceMs: number | null = null;
    const limitMs = (): number => Math.round(SETTLED_WITHIN_MS * crowded());
    const waitsMs = (): number => Math.max(GIVE_UP_AFTER_MS, limitMs() + PAST_THE_LIMIT_MS);
    while (Date.now() - startMs < waitsMs() && !signal.aborted) {
      quietSinceMs = isQuiet() ? (quietSinceMs ?? Date.now()) : null;
      if (quietSinceMs !== null && Date.now() - quietSinceMs > SETTLED_FOR_MS) break;
      await pause(50, signal);
    }
    signal.throwIfAborted();
    if (quietSinceMs !== null)
      return { settledAfterMs: quietSinceMs - startMs, limitMs: limitMs(), stuck: [] };
    const stuck = await this.#stuckDump(watcher);
    for (const line of stuck) say(line);
    return { settledAfterMs: null, limitMs: limitMs(), stuck };
  }

  /** Why each conversation waits, as far as everybody can still be asked. */
  async #stuckDump(watcher: Watcher): Promise<string[]> {
    const stack = this.#stack;
    const state = stack.state();
    const stuck = watcher.all().filter((live) => live.lastSeq > 0 && !isOver(live));
    const restless = watcher.triggers().filter((trigger) => !isAtRest(trigger));
    const lines = [
      `STUCK: ${stuck.length} conversations, ${restless.length} triggers`,
      `state: ${JSON.stringify(state)}`,
      ...restless.map(
        ({ sending, ...trigger }) =>
          `trigger ${JSON.stringify({ ...trigger, sending: [...sending] })}`,
      ),
    ];
    const binary = await findTemporalBinary().catch(() => 'temporal');
    const temporal = async (...args: string[]): Promise<string> => {
      const address = ['--address', state?.temporal ?? '', '--namespace', state?.namespace ?? ''];
      try {
        const { stdout } = await promisify(execFile)(binary, [...args, ...address], {
          timeout: 15_000,
        });
        return stdout.trim();
      } catch (error) {
        return String(error);
      }
    };
    for (const row of await watcher.store.runningAttempts(null))
      lines.push(`attempt ${JSON.stringify(row)}`);
    for (const live of stuck.slice(0, 4)) {
      const { conversationId, turn, queue, approvals, ending, lastSeq, lastEventMs } = live;
      lines.push(
        `conversation ${conversationId}: ${live.state}, seq ${lastSeq}, last event ${Date.now() - lastEventMs} ms ago, ` +
          `turn ${turn?.key ?? 'none'}${ending ? ' (ended, not settled)' : ''}, queue ${queue.length}${isHeld(live) ? ' held' : ''}, approvals ${approvals.size}` +
          (live.table === null ? '' : `, active in its table: ${live.table.activeConversationId}`) +
          openMail(live)
            .map(({ messageId, kind, state: is }) => `, mail ${messageId} (${kind}) ${is}`)
            .join(''),
      );
      const workflowId = conversationWorkflowId(conversationId);
      lines.push(
        await temporal('workflow', 'query', '--workflow-id', workflowId, '--type', 'snapshot'),
      );
      lines.push(await temporal('workflow', 'describe', '--workflow-id', workflowId));
    }
    lines.push(`spools: ${stack.spoolNames().join(' ')}`);
    lines.push(
      ...stack
        .marked((turnId) => this.#ours.has(turnId))
        .map(({ pid, mark, command }) => `process ${pid} ${mark}: ${command}`),
    );
    for (const { file, lines: last } of stack.lastLogLines(25)) lines.push(`--- ${file}`, ...last);
    return lines;
  }

  async #gather(parts: {
    watcher: Watcher;
    keeper: SpoolKeeper;
    injector: Injector;
    healing: Evidence['healing'];
  }): Promise<Evidence> {
    const { say, signal } = this.#options;
    const { watcher, keeper, injector, healing } = parts;
    const stack = this.#stack;
    await this.#bootOverAStray(watcher);
    // Warm sessions end by their idle limit; after that, nothing of any turn may live.
    const deadline = Date.now() + SESSION_IDLE_MS + GONE_WITHIN_MS;
    const isOurs = (turnId: string): boolean => this.#ours.has(turnId);
    while (stack.marked(isOurs).length > 0 && Date.now() < deadline && !signal.aborted)
      await pause(200, signal);
    const leftOver = stack.marked(isOurs).map(({ pid, mark, command }) => ({ pid, mark, command }));
    this.#measure();
    await watcher.catchUp();
    keeper.close();
    const http = new HttpClient(() => stack.address());
    // One that no team knows of would be half-made.
    for (const conversationId of agentsIn(stack.database)) watcher.follow(conversationId, null);
    await watcher.catchUp();
    const conversations = [];
    for (const { conversationId, lastSeq } of watcher.all()) {
      if (lastSeq === 0) continue;
      signal.throwIfAborted();
      conversations.push(
        await gatherConversation({ conversationId, watcher, http, database: stack.database }),
      );
    }
    const tables = [];
    for (const { tableId, lastSeq } of watcher.tables()) {
      if (lastSeq === 0) continue;
      signal.throwIfAborted();
      tables.push(await gatherTable({ tableId, watcher, http, database: stack.database }));
    }
    const triggers = [];
    for (const { triggerId, lastSeq } of watcher.triggers()) {
      if (lastSeq === 0) continue;
      signal.throwIfAborted();
      triggers.push(await gatherTrigger({ triggerId, watcher, http, database: stack.database }));
    }
    const teams = [];
    for (const { rootId, lastSeq, members } of watcher.teams()) {
      if (lastSeq === 0) continue;
      signal.throwIfAborted();
      const there = [...members].filter((id) => watcher.live(id).lastSeq > 0);
      teams.push(
        await gatherTeam({ rootId, members: there, watcher, http, database: stack.database }),
      );
    }
    const state = stack.state();
    if (state === null)
      throw new Error('Holdfast is not running when its histories are to be read');
    say(
      `Replaying the histories of ${conversations.length} conversations and ${tables.length} tables, and of some due times.`,
    );
    const { signals, replays } = await gatherHistories({
      address: state.temporal,
      namespace: state.namespace,
      workflows: [
        ...conversations.map(({ conversationId }) => ({
          workflowId: conversationWorkflowId(conversationId),
          conversationId,
        })),
        ...tables.map(({ tableId }) => ({
          workflowId: tableWorkflowId(tableId),
          conversationId: null,
        })),
      ],
      ofTriggers: REPLAYED_OF_TRIGGERS,
    });
    return {
      conversations,
      tables,
      triggers,
      teams,
      ...this.#recorder,
      spools: keeper.turns(),
      lastWrites: keeper.lastWrites(),
      faults: injector.faults,
      leftOver,
      strangersGone: stack.strangersGone(),
      healing,
      silence: { ...SILENCE, lateMs: Math.round(STALLED_LATE_MS * crowded()) },
      fires: {
        graceMs: TRIGGER_GRACE_MS,
        lateMs: TRIGGER_LATE_MS,
        latestMs: TRIGGER_LATEST_MS,
        lookMs: Math.round(LOOKED_WITHIN_MS * crowded()),
      },
      use: [...this.#use.values()],
      spoolFolders: { left: stack.spoolNames().length, limit: SPOOLS_LEFT },
      signals,
      replays,
    };
  }

  /** P2: a boot of the turn host ends what it finds of an ended attempt; the audit then finds nothing. */
  async #bootOverAStray(watcher: Watcher): Promise<void> {
    const ended = watcher.all().find((live) => live.lastEnd !== null && live.turn === null);
    const host = this.#stack.processOf('turn-host');
    if (ended?.lastEnd == null || host === null) return;
    const turns = await watcher.store.turns(ended.conversationId, null, 200);
    // The oldest: its process has ended long ago, and its spool with it.
    const attempt = turns.items.at(-1)?.attempts[0];
    const turnId = turns.items.at(-1)?.turnId;
    if (attempt === undefined || turnId === undefined) return;
    this.#ours.add(turnId);
    this.#stack.plantStray(attemptKey(turnId, attempt.attempt));
    this.#stack.kill(host);
    const { signal } = this.#options;
    const restarted = (): boolean => {
      const now = this.#stack.processOf('turn-host');
      return now !== null && now.pid !== host.pid;
    };
    for (let waitedMs = 0; !restarted() && waitedMs < 30_000 && !signal.aborted; waitedMs += 50)
      await pause(50, signal);
    await orAborted(this.#stack.ready(60_000), signal);
  }

  #measure(): void {
    for (const now of this.#stack.use()) {
      const most = this.#use.get(now.role);
      this.#use.set(now.role, {
        role: now.role,
        residentMb: Math.max(now.residentMb, most?.residentMb ?? 0),
        descriptors: Math.max(now.descriptors, most?.descriptors ?? 0),
      });
    }
  }

  #tell(verdict: Verdict, evidence: Evidence, hits: ReadonlyMap<string, number>): void {
    const { say, seed } = this.#options;
    say('');
    say(faultTable(hits));
    say('');
    say(faultCounts(evidence.faults));
    say(
      `Most used: ${[...this.#use.values()]
        .map(
          ({ role, residentMb, descriptors }) =>
            `${role} ${Math.round(residentMb)} MB ${descriptors} fds`,
        )
        .join(', ')}`,
    );
    say(metCounts(evidence));
    say(tableCounts(evidence));
    say(triggerCounts(evidence));
    say(agentCounts(evidence));
    say(invariantCounts(verdict));
    say('');
    if (verdict.violations.length > 0) say(violationText(verdict));
    say(
      verdict.violations.length === 0
        ? `Passed: seed ${seed}.`
        : `FAILED: seed ${seed}, ${verdict.violations.length} violations.`,
    );
  }

  #keepEvidence(evidence: Evidence, verdict: Verdict): void {
    const { conversations, tables, triggers, teams, clients, ...rest } = evidence;
    const told = new Set(
      verdict.violations.flatMap(({ conversationId, tableId, triggerId }) => [
        ...(conversationId === undefined ? [] : [conversationStream(conversationId)]),
        ...(tableId === undefined ? [] : [tableStream(tableId)]),
        ...(triggerId === undefined ? [] : [triggerStream(triggerId)]),
      ]),
    );
    const write = (name: string, value: unknown): void =>
      writeFileSync(join(this.#folder, name), JSON.stringify(value, null, 1));
    // Of a team everything that is in it, too.
    const toldTeams = teams.filter(
      ({ rootId, view }) =>
        told.has(conversationStream(rootId)) ||
        view.agents.some(({ conversationId }) => told.has(conversationStream(conversationId))),
    );
    for (const { rootId, view } of toldTeams)
      for (const id of [rootId, ...view.agents.map(({ conversationId }) => conversationId)])
        told.add(conversationStream(id)).add(teamStream(rootId));
    write('teams.json', toldTeams);
    write('violations.json', verdict.violations);
    write('evidence.json', rest);
    write(
      'clients.json',
      clients.filter(({ stream }) => told.has(stream)),
    );
    const toldTriggers = triggers.filter(({ triggerId }) => told.has(triggerStream(triggerId)));
    write('triggers.json', toldTriggers);
    // Of a table everything that is in it: what happens in one conversation decides about another.
    const inTables = new Set(
      tables
        .filter(({ tableId }) => told.has(tableStream(tableId)))
        .flatMap(({ list }) => list.map(({ conversationId }) => conversationId)),
    );
    const logs = [
      ...conversations
        .filter(
          ({ conversationId }) =>
            told.has(conversationStream(conversationId)) || inTables.has(conversationId),
        )
        .map(({ conversationId, log, epochs }) => ({ name: conversationId, log, places: epochs })),
      ...tables
        .filter(({ tableId }) => told.has(tableStream(tableId)))
        .map(({ tableId, log, places }) => ({ name: `table-${tableId}`, log, places })),
      ...toldTeams.map(({ rootId, log, places }) => ({ name: `team-${rootId}`, log, places })),
      ...toldTriggers.map(({ triggerId, log, places }) => ({
        name: `trigger-${triggerId}`,
        log,
        places,
      })),
    ];
    for (const { name, log, places } of logs) {
      writeFileSync(
        join(this.#folder, `${name}.log.jsonl`),
        log.map(({ json }) => `${json}\n`).join(''),
      );
      write(`${name}.places.json`, places);
    }
  }
}

/** Sockets cannot be copied. */
function isCopied(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isFile() === true || found?.isDirectory() === true;
}

/** Others on this machine take the processor from us: bounds are those of a machine that has the time. */
function crowded(): number {
  return Math.max(1, (loadavg()[0] ?? 0) / cpus().length);
}

async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(new Error('the run was ended by hand'));
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Nothing runs or waits, in its mailbox neither. */
function isOver(live: Live): boolean {
  return isSettled(live) && openMail(live).length === 0;
}

/** Nothing that it was decided to run is still to be sent. */
function isAtRest({ sending }: LiveTrigger): boolean {
  return sending.size === 0;
}

function liveLine(watcher: Watcher, faults: readonly Fault[], recorder: Recorder): string {
  const all: readonly Live[] = watcher.all();
  const triggers = watcher.triggers();
  const rows = triggers.reduce((sum, trigger) => sum + trigger.rows, 0);
  const agents = all.filter(({ link, lastSeq }) => link !== null && lastSeq > 0).length;
  const mail = all.reduce((sum, live) => sum + live.mail.rows.size, 0);
  const running = all.filter(({ turn }) => turn !== null).length;
  const events = all.reduce((sum, { lastSeq }) => sum + lastSeq, 0);
  const turns = all.reduce((sum, { contents }) => sum + contents.size, 0);
  const last = faults.at(-1);
  const count = (kind: FaultKind): number => faults.filter(({ fault }) => fault === kind).length;
  return (
    `${new Date().toISOString().slice(11, 19)} ${all.length} conversations (${running} running), ${turns} turns, ` +
    `${events} events, ${recorder.commands.length} requests, ${triggers.length} triggers with ${rows} rows, ${agents} agents with ${mail} rows of mail, ${count('kill')} kills, ${count('stop')} stops, ${count('fill')} fills` +
    (last === undefined ? '' : `, last: ${last.fault} ${last.role} while ${last.state}`)
  );
}
