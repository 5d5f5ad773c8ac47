/** `holdfast status`. Source of the JSON's shape: protocol.md section 1. */
import { parseArgs } from 'node:util';

import type { Config } from '../config.ts';
import type { SupervisorState } from '../supervisor/state.ts';
import { type CommandContext, EXIT, runningState } from './command.ts';
import { type RunningTurn, runningTurns } from './running-turns.ts';

export const statusUsage = `holdfast status [--json]
  What runs for this home: addresses, processes, turns. Exit code 3 when nothing does.
`;

type Status = {
  home: string;
  api: string;
  token: string;
  temporal: string;
  namespace: string;
  temporalUi: string | null;
  processes: { role: string; pid: number; startedAt: string; restarts: number }[];
  turns: RunningTurn[];
};

export async function status(context: CommandContext): Promise<number> {
  const { values } = parseArgs({
    args: context.args,
    options: { json: { type: 'boolean', default: false } },
  });
  const { config, out, err } = context;
  const state = runningState(config);
  if (state === null) {
    err.write(`Holdfast is not running for ${config.home}.\n`);
    return EXIT.notRunning;
  }
  const facts = describe({ config, state, turns: await runningTurns(config) });
  out.write(values.json ? `${JSON.stringify(facts, null, 2)}\n` : inWords(facts));
  if (!state.processes.some((record) => record.role === 'supervisor'))
    err.write(
      'The supervisor was killed; these processes go on without it. Repair: holdfast start\n',
    );
  return EXIT.ok;
}

function describe({
  config,
  state,
  turns,
}: {
  config: Config;
  state: SupervisorState;
  turns: RunningTurn[];
}): Status {
  return {
    home: config.home,
    api: state.api,
    token: config.paths.token,
    temporal: state.temporal,
    namespace: state.namespace,
    temporalUi: state.temporalUi,
    processes: state.processes.map(({ role, pid, startedAt, restarts }) => ({
      role,
      pid,
      startedAt,
      restarts,
    })),
    turns,
  };
}

function inWords(facts: Status): string {
  const rows = [
    ['API', facts.api],
    ['Token', facts.token],
    ['Temporal', `${facts.temporal}, namespace ${facts.namespace}`],
    ['Temporal UI', facts.temporalUi ?? 'unknown'],
    ['Home', facts.home],
    ...facts.processes.map(({ role, pid, startedAt, restarts }) => [
      role,
      `process ${pid}, since ${startedAt}${restarts === 0 ? '' : `, restarted ${restarts} times`}`,
    ]),
    ...facts.turns.map((turn) => [
      'turn',
      `${turn.turnId} of ${turn.conversationId}, attempt ${turn.attempt}, ${turn.phase ?? 'starting'}, ${
        turn.providerPid === null ? 'no provider process' : `provider process ${turn.providerPid}`
      }, last output ${turn.lastOutputAt ?? 'none'}`,
    ]),
  ];
  const lines = rows.map(([name = '', value = '']) => `${name.padEnd(12)} ${value}\n`).join('');
  return facts.turns.length === 0 ? `${lines}No turn runs.\n` : lines;
}
