/** `holdfast cancel`, `retry`, `release` and `answer`: what gets a conversation going again. */
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';

import { isRecord } from './api-client.ts';
import { type CommandContext, connect, EXIT, oneConversation, UsageError } from './command.ts';

export const cancelUsage = `holdfast cancel [--cascade] ID
  Cancels the running turn of a conversation and waits for its end. What it said is kept.

  --cascade   the same in every agent below it; what waits there and here is held
`;

export const retryUsage = `holdfast retry [--request-id ID] ID TURN
  Starts a new attempt of a turn that ended interrupted, failed or cancelled. Does not wait for its end.
`;

export const releaseUsage = `holdfast release ID
  Releases what is held in the queue of a conversation; its first message starts as soon as it may.
`;

export const answerUsage = `holdfast answer ID APPROVAL allow|deny
  Answers an approval that a turn waits for. \`holdfast why ID\` names it and shows what it asks for.
`;

export async function cancel(context: CommandContext): Promise<number> {
  const { values, positionals } = parseArgs({
    args: context.args,
    allowPositionals: true,
    options: { cascade: { type: 'boolean', default: false } },
  });
  const conversationId = oneConversation(positionals);
  const { body } = await connect(context.config).callPatiently({
    method: 'POST',
    path: `/v1/conversations/${encodeURIComponent(conversationId)}/cancel?wait=end`,
    body: values.cascade ? { cascade: true } : {},
  });
  const turnId = isRecord(body) ? body['turnId'] : null;
  const outcome = isRecord(body) && typeof body['outcome'] === 'string' ? body['outcome'] : null;
  context.out.write(
    typeof turnId === 'string'
      ? `Turn ${turnId}: ${outcome ?? 'cancel requested'}.\n`
      : 'Nothing runs in this conversation.\n',
  );
  if (values.cascade)
    context.out.write(
      `The agents below it are told to cancel, and what waits is held. See them: holdfast agents ${conversationId}\n`,
    );
  return EXIT.ok;
}

export async function retry(context: CommandContext): Promise<number> {
  const { values, positionals } = parseArgs({
    args: context.args,
    allowPositionals: true,
    options: { 'request-id': { type: 'string' } },
  });
  const [conversationId, turnId, ...others] = positionals;
  if (conversationId === undefined || turnId === undefined || others.length > 0)
    throw new UsageError('Name a conversation and one of its turns.');
  const { body } = await connect(context.config).callPatiently({
    method: 'POST',
    path: `/v1/conversations/${encodeURIComponent(conversationId)}/turns/${encodeURIComponent(turnId)}/retry`,
    body: { requestId: values['request-id'] ?? randomUUID() },
  });
  const status = isRecord(body) && typeof body['status'] === 'string' ? body['status'] : 'accepted';
  context.out.write(`Turn ${turnId}: ${status}. Follow it: holdfast tail ${conversationId}\n`);
  return EXIT.ok;
}

export async function release(context: CommandContext): Promise<number> {
  const { positionals } = parseArgs({ args: context.args, allowPositionals: true, options: {} });
  const conversationId = oneConversation(positionals);
  const { status, body } = await connect(context.config).callPatiently({
    method: 'PATCH',
    path: `/v1/conversations/${encodeURIComponent(conversationId)}/queue`,
    body: { held: false },
  });
  const items = isRecord(body) && Array.isArray(body['items']) ? body['items'] : [];
  // What was released may have begun by now.
  context.out.write(
    status === 202 ? 'Accepted.\n' : `Nothing is held; waiting now: ${items.length}.\n`,
  );
  return EXIT.ok;
}

export async function answer(context: CommandContext): Promise<number> {
  const { positionals } = parseArgs({ args: context.args, allowPositionals: true, options: {} });
  const [conversationId, approvalId, decision, ...others] = positionals;
  if (
    conversationId === undefined ||
    approvalId === undefined ||
    (decision !== 'allow' && decision !== 'deny') ||
    others.length > 0
  )
    throw new UsageError('Name a conversation, one of its approvals, and allow or deny.');
  const { status } = await connect(context.config).callPatiently({
    method: 'POST',
    path: `/v1/conversations/${encodeURIComponent(conversationId)}/approvals/${encodeURIComponent(approvalId)}`,
    body: { decision },
  });
  context.out.write(
    status === 202 ? 'Accepted.\n' : decision === 'allow' ? 'Allowed.\n' : 'Denied.\n',
  );
  return EXIT.ok;
}
