/**
 * The pulse of the embedded Temporal server, which is no program of ours and touches no file: whether it answers a question for which
 * it must read its database; and what ails it.
 *
 * The server may stand still, and it may go on and be of no use. Its SQLite driver (modernc.org/sqlite before 1.40.1, in the CLI 1.5.1 that
 * is downloaded) forgets a query, open, whose deadline passes between its first row and its return. On the one connection that there is
 * nothing is checkpointed from then on: temporal.db-wal grows until the disk is full (2.5 GB in 5 minutes were seen). And the next query
 * that is broken off breaks off every other after it, "interrupted (9)", since SQLite takes that back only when no query is open. Both come
 * under load, when deadlines pass; neither ends by itself, nor with a restart of anything else.
 *
 * 1 It is asked by HTTP/2 alone: the supervisor, which outlives everybody, does not load the SDK (+60 MB).
 * 2 One question at a time, each with a limit; whatever goes wrong with one is no answer, and no error.
 * 3 A server that has no time for one question more ("resource exhausted") lives, although it may not have read its database for that.
 * 4 A log that still grows after a new start is too long only when it has grown by as much again: whoever else keeps the database from
 *   being checkpointed does not make the server start for ever.
 * 5 A disk on which there is less room than the log has taken is as much of a reason: when it is full nothing grows any more, and
 *   Holdfast takes nothing.
 */
import { statfsSync } from 'node:fs';
import { connect } from 'node:http2';

import { type BeatSource, lookAt } from './pulse.ts';

const ASK_EVERY_MS = 2_000;
const ANSWER_WITHIN_MS = 5_000;
const METHOD = '/temporal.api.workflowservice.v1.WorkflowService/DescribeNamespace';
const GRPC_OK = '0';
const GRPC_RESOURCE_EXHAUSTED = '8';
/** So many without a good one in between are no query's own misfortune. */
const INTERRUPTED_AT_MOST = 2;
/** Growth above which the room on the disk is looked at; usually the log has 4 MB. */
const LONG_BYTES = 32 * 2 ** 20;

type Answer = 'well' | 'busy' | 'interrupted' | 'none';

/** Asks until it is closed, `everyMs` after each answer. `lastMs`: of the last answer, by `performance.now()`; null: there was none yet. */
export function askTemporal({
  server,
  wal,
  everyMs = ASK_EVERY_MS,
}: {
  server: { address: string; namespace: string };
  /** The write-ahead log of its database, and the growth that is too much; 0: none is. */
  wal: { file: string; limitBytes: number };
  everyMs?: number;
}): BeatSource {
  let lastMs: number | null = null;
  let interrupted = 0;
  let leastBytes = lookAt(wal.file)?.size ?? 0;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;
  const ask = async (): Promise<void> => {
    const answer = await answerOf(server);
    if (answer === 'well' || answer === 'busy') lastMs = performance.now();
    if (answer === 'well') interrupted = 0;
    if (answer === 'interrupted') interrupted += 1;
    if (!isClosed) timer = setTimeout(() => void ask(), everyMs);
  };
  void ask();
  return {
    lastMs: () => lastMs,
    ailment: () => {
      if (interrupted > INTERRUPTED_AT_MOST) return 'answers everything "interrupted"';
      const bytes = lookAt(wal.file)?.size ?? leastBytes;
      leastBytes = Math.min(leastBytes, bytes);
      const grown = bytes - leastBytes;
      const isTooLong = grown > wal.limitBytes || (grown > LONG_BYTES && grown > roomBy(wal.file));
      return wal.limitBytes > 0 && isTooLong
        ? `no longer checkpoints its database: ${wal.file} has ${Math.round(bytes / 2 ** 20)} MB`
        : null;
    },
    close: () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

/** Bytes that are free on the disk of `file`; of one that cannot be asked, any number. */
function roomBy(file: string): number {
  try {
    const { bavail, bsize } = statfsSync(file);
    return bavail * bsize;
  } catch {
    return Infinity;
  }
}

/** Whether it can say what its namespace is. */
function answerOf({ address, namespace }: { address: string; namespace: string }): Promise<Answer> {
  return new Promise((resolve) => {
    const session = connect(`http://${address}`);
    const done = (answer: Answer): void => {
      clearTimeout(limit);
      session.destroy();
      resolve(answer);
    };
    const limit = setTimeout(() => done('none'), ANSWER_WITHIN_MS);
    session.on('error', () => done('none'));
    const call = session.request({
      ':method': 'POST',
      ':path': METHOD,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    // A call that fails at once has its status in the headers, one that answers behind its answer.
    const judge = (headers: Record<string, unknown>): void => {
      const { 'grpc-status': status, 'grpc-message': message } = headers;
      if (status === undefined) return;
      if (status === GRPC_OK) done('well');
      else if (status === GRPC_RESOURCE_EXHAUSTED) done('busy');
      else done(String(message).includes('interrupted (9)') ? 'interrupted' : 'none');
    };
    call.on('response', judge);
    call.on('trailers', judge);
    call.on('error', () => done('none'));
    call.on('close', () => done('none'));
    call.resume();
    call.end(framed(field(1, namespace)));
  });
}

/** A protobuf field of text. */
function field(number: number, text: string): Buffer {
  const bytes = Buffer.from(text);
  const length: number[] = [];
  let rest = bytes.length;
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length, rest]), bytes]);
}

/** A gRPC message, not compressed. */
function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
