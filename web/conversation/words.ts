/** What states, causes and numbers are called on the page. */
import type { MailMarkValue, OutcomeName } from '../../src/contracts/events.ts';
import type { Note, Problem, Unsent, Work } from '../client/contract.ts';

const OUTCOMES: Readonly<Record<OutcomeName, string>> = {
  completed: 'Completed',
  failed: 'Failed',
  cancelled: 'Cancelled',
  interrupted: 'Interrupted',
};

export function outcomeWords(outcome: OutcomeName | null): string {
  return outcome === null ? 'Running' : OUTCOMES[outcome];
}

/** Source: protocol.md section 4. A cause that is not here is shown as it is. */
const CAUSES: Readonly<Record<string, string>> = {
  provider_exited: 'the agent’s program ended without a word',
  provider_died: 'the agent’s program died',
  host_rebooted: 'the machine was restarted',
  prompt_unconfirmed: 'nobody can know whether the prompt arrived, so it was not sent twice',
  spool_lost: 'the record of its output is gone',
  stalled: 'it was silent for too long',
  recovery_budget: 'it was taken over again and again without a sign of life',
  storage_full: 'the disk is full',
  time_limit: 'it ran for a whole day',
  process_lost: 'its process is gone',
  host_lost: 'the process that ran it is gone',
  internal_error: 'something failed inside Holdfast',
  script_error: 'the script has a line that is no step',
  provider_error: 'the agent’s program reported an error',
};

/** Why an attempt ended as it did; null: there is nothing to say. `words`: an error's own message, which says more. */
export function causeWords(end: {
  outcome: OutcomeName | null;
  cause: string | null;
  words: string | null;
}): string | null {
  const { outcome, cause, words } = end;
  if (outcome === null || outcome === 'completed') return null;
  if (outcome === 'cancelled') return cause === null || cause === '' ? null : `by ${cause}`;
  const known = cause === null ? undefined : Object.hasOwn(CAUSES, cause) ? CAUSES[cause] : cause;
  const all = [known, words].filter((part) => part !== undefined && part !== null && part !== '');
  return all.length === 0 ? null : all.join(': ');
}

const PHASES: Readonly<Record<Work['phase'], string>> = {
  starting: 'Starting',
  'waiting-for-model': 'Waiting for the model',
  streaming: 'Writing',
  'tool-running': 'Running a tool',
  'waiting-for-approval': 'Waiting for your approval',
  cancelling: 'Cancelling',
};

/** What the turn does, with the name of what it does it with. */
export function phaseWords({ phase, detail }: Pick<Work, 'phase' | 'detail'>): string {
  if (detail === null || detail === '') return PHASES[phase];
  if (phase === 'tool-running') return `Running ${detail}`;
  if (phase === 'waiting-for-approval') return `Waiting for your approval: ${detail}`;
  return PHASES[phase];
}

export const CANCEL_STEPS: Readonly<Record<Work['cancelling'][number]['step'], string>> = {
  requested: 'Asked to stop',
  protocol: 'Agent told',
  terminate: 'TERM sent',
  kill: 'KILL sent',
  sweep: 'Cleaned up',
};

export function sizeText(characters: number): string {
  if (characters < 1_000) return `${characters} characters`;
  if (characters < 999_500) return `${Math.round(characters / 1_000)} KB`;
  return `${(characters / 1_000_000).toFixed(1)} MB`;
}

const NOTES: Readonly<Record<Note['kind'], string>> = {
  attached: 'Re-attached',
  notice: 'Notice',
  retrying: 'Trying again',
  trigger: 'Trigger',
  steered: 'Steered',
  agent: 'Agent',
};

export function noteWords(kind: Note['kind']): string {
  return NOTES[kind];
}

const MAIL: Readonly<Record<MailMarkValue['kind'], string>> = {
  task: 'Task',
  message: 'Message from an agent',
  result: 'An agent has finished',
  error: 'An agent’s task ended otherwise',
  recovery: 'After an interruption',
};

export function mailWords(kind: MailMarkValue['kind']): string {
  return MAIL[kind];
}

/** A refusal in one sentence. */
export function problemWords(problem: Problem): string {
  if (problem.status === 0) return 'The engine could not be reached.';
  const { title, detail } = problem;
  if (detail === undefined || detail === '' || detail === title) return sentence(title);
  return `${sentence(title)} ${sentence(detail)}`;
}

function sentence(text: string): string {
  return /[.!?…]$/u.test(text) ? text : `${text}.`;
}

/** What becomes of a message that is on its way. */
export function unsentWords(unsent: Unsent, isLive: boolean): string {
  if (unsent.is === 'accepted') return 'Taken; it will show up in a moment';
  if (unsent.is === 'refused')
    return `Not sent. ${unsent.problem === null ? '' : problemWords(unsent.problem)}`.trim();
  if (isLive) return 'Sending…';
  return unsent.isOnlyHere === true
    ? 'Leave this page open: the browser cannot keep this message. It is sent when the connection is back'
    : 'Kept here; it is sent when the connection is back';
}
