/**
 * The pulse of the embedded Temporal server, which is no program of ours and touches no file: whether it answers a question for which
 * it must read its database.
 *
 * The server may stand still, and it may go on and fail: after 15 s of standing still under load one answered every call "interrupted (9)",
 * what its database's driver says of a statement that was broken off, for as long as it was looked at. No restart of anything else mends
 * either.
 *
 * 1 It is asked by HTTP/2 alone: the supervisor, which outlives everybody, does not load the SDK (+60 MB).
 * 2 One question at a time, each with a limit; whatever goes wrong with one is no answer, and no error.
 */
import { connect } from 'node:http2';

import type { BeatSource } from './pulse.ts';

const ASK_EVERY_MS = 2_000;
const ANSWER_WITHIN_MS = 5_000;
const METHOD = '/temporal.api.workflowservice.v1.WorkflowService/DescribeNamespace';
const GRPC_OK = '0';

/** Asks until it is closed. `lastMs`: of the last answer, by `performance.now()`; null: there was none yet. */
export function askTemporal(server: { address: string; namespace: string }): BeatSource {
  let lastMs: number | null = null;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;
  const ask = async (): Promise<void> => {
    if (await answers(server)) lastMs = performance.now();
    if (!isClosed) timer = setTimeout(() => void ask(), ASK_EVERY_MS);
  };
  void ask();
  return {
    lastMs: () => lastMs,
    close: () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

/** Whether it can say what its namespace is. */
function answers({ address, namespace }: { address: string; namespace: string }): Promise<boolean> {
  return new Promise((resolve) => {
    const session = connect(`http://${address}`);
    const done = (isOk: boolean): void => {
      clearTimeout(limit);
      session.destroy();
      resolve(isOk);
    };
    const limit = setTimeout(() => done(false), ANSWER_WITHIN_MS);
    session.on('error', () => done(false));
    const call = session.request({
      ':method': 'POST',
      ':path': METHOD,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    // A call that fails at once has its status in the headers, one that answers behind its answer.
    const judge = (headers: Record<string, unknown>): void => {
      if (headers['grpc-status'] !== undefined) done(headers['grpc-status'] === GRPC_OK);
    };
    call.on('response', judge);
    call.on('trailers', judge);
    call.on('error', () => done(false));
    call.on('close', () => done(false));
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
