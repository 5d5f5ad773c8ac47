/** What a model is told of a call that was refused: `code: what happened. What to do.` */
import type { ErrorCode } from '../../contracts/errors.ts';
import { publicError } from '../problem.ts';

const AGAIN = 'Nothing was done. Call again in a moment, with the same arguments.';

const LATER =
  'It may have been done, or will be: call again with the same arguments to see, which does nothing twice where ids are given.';

/** For a model, which cannot look anything up: what to do next. */
const NEXT: Partial<Record<ErrorCode, string>> = {
  invalid_request: 'Nothing was done. Correct the arguments and call again.',
  not_found: 'Nothing was done. Call list_team to see who is in your team.',
  request_id_reused: 'Nothing was done. Take another id, or leave it out.',
  payload_too_large:
    'Nothing was done. Write less, or put the text into a file of your workspace and say where it is.',
  provider_not_found: 'Nothing was done. Leave provider and model out to use your own.',
  workspace_not_allowed: 'Nothing was done. Leave workspace out to use your own.',
  budget_exceeded:
    'Nothing was done, and the same call will be refused again. Do the work yourself, or give it to an agent of list_team with send_message.',
  queue_full: AGAIN,
  rate_limited: AGAIN,
  storage_full: AGAIN,
  temporal_unavailable: AGAIN,
  shutting_down: AGAIN,
  internal:
    'It is not known whether it was done. Call list_team or check_inbox to see, or call again with the same ids.',
};

/** A refusal as the text of a tool's result. A failure of ours says no more than the table does. */
export function refusalText(error: unknown): string {
  const { code, message, detail } = publicError(error);
  const next = isDurable(detail) ? LATER : (NEXT[code] ?? 'Nothing was done.');
  return `${code}: ${/[.!?]$/.test(message) ? message : `${message}.`} ${next}`;
}

/** It is accepted, or it is not known whether it is. */
function isDurable({ accepted }: Readonly<Record<string, unknown>>): boolean {
  return accepted === true || accepted === 'unknown';
}
