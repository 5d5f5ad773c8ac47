/** `holdfast stop`. */
import { parseArgs } from 'node:util';

import { signalProcess } from '../providers/process/process-table.ts';
import { evict, waitGone } from '../supervisor/evict.ts';
import { takeLock } from '../supervisor/lock.ts';
import { removeState } from '../supervisor/state.ts';
import { type CommandContext, connect, EXIT, runningState } from './command.ts';
import { cancelTurns, endTurnProcesses, type RunningTurn, runningTurns } from './running-turns.ts';

export const stopUsage = `holdfast stop [--turns]
  Stops Holdfast. Running turns go on and are taken over at the next start.

  --turns   cancel running turns first, and end the processes of those that do not end; what waits in a queue keeps waiting
`;

/** Longer than the supervisor's own grace for three groups of children, 5 s each. */
const GONE_WITHIN_MS = 30_000;
/** The cancel ladder ends after 5 s; a worker that is just being restarted is given some more. */
const CANCEL_WITHIN_MS = 20_000;
const GRACE_MS = 5_000;

export async function stop(context: CommandContext): Promise<number> {
  const { values } = parseArgs({
    args: context.args,
    options: { turns: { type: 'boolean', default: false } },
  });
  const { config, out, err } = context;
  const state = runningState(config);
  if (state === null) {
    err.write(`Holdfast is not running for ${config.home}.\n`);
    return EXIT.notRunning;
  }
  let turns = await runningTurns(config);
  if (values.turns && turns.length > 0) {
    await cancelTurns({ client: connect(config), turns, timeoutMs: CANCEL_WITHIN_MS });
  }

  const supervisor = state.processes.find((record) => record.role === 'supervisor');
  if (supervisor === undefined) {
    // It was killed: what it left behind is ended as the next start would.
    const lock = takeLock({ folder: config.paths.run });
    if ('heldBy' in lock) {
      err.write('Holdfast is just being started; try again.\n');
      return EXIT.failed;
    }
    try {
      await evict({ processes: state.processes, graceMs: GRACE_MS });
      removeState({ runFolder: config.paths.run });
    } finally {
      lock.held.release();
    }
  } else {
    signalProcess(supervisor, 'SIGTERM');
    signalProcess(supervisor, 'SIGCONT');
    if (!(await waitGone({ target: supervisor, timeoutMs: GONE_WITHIN_MS }))) {
      err.write(`The supervisor (process ${supervisor.pid}) does not end.\n`);
      return EXIT.failed;
    }
  }
  // What would not be cancelled, and what the cancel of one has let start from a queue.
  if (values.turns) await endTurnProcesses(config);
  turns = (await runningTurns(config)).filter(({ providerPid }) => providerPid !== null);
  out.write(`Holdfast is stopped.\n${whatGoesOn(turns)}`);
  return EXIT.ok;
}

function whatGoesOn(turns: readonly RunningTurn[]): string {
  if (turns.length === 0) return '';
  const lines = turns.map((turn) => `  ${turn.turnId} of ${turn.conversationId}\n`).join('');
  return `Still running, and taken over at the next start:\n${lines}`;
}
