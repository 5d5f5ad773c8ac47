/**
 * The log file of one child: its stdout and stderr, written by the child itself.
 *
 *  1 The child holds the file, not a pipe to us: it can go on logging, and living, when the supervisor is killed.
 *  2 A file above its limit is copied to `<file>.1` and cut to nothing in place, because its writer keeps it open
 *    (O_APPEND goes on at the new end). What is written between the copy and the cut is lost; it is a log.
 *  3 What the disk refuses is done without, but for opening it: a log must not end the supervisor.
 */
import {
  closeSync,
  copyFileSync,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  truncateSync,
  watch,
} from 'node:fs';

import { lookAt } from './pulse.ts';

/** Used when the file cannot be watched, and in case a wake is lost. */
const POLL_MS = 250;
/** A line longer than this is passed on in pieces; the supervisor must stay small whatever a child prints. */
const LINE_LIMIT_BYTES = 64 * 1024;

/** Opens `file` for a child that is about to start. Close `fd` after the spawn. */
export function openLog({ file, limitBytes }: { file: string; limitBytes: number }): {
  fd: number;
  /** Where this child's own output begins. */
  startOffset: number;
} {
  if (sizeOf(file) > limitBytes) renameSync(file, `${file}.1`);
  const fd = openSync(file, 'a', 0o600);
  return { fd, startOffset: fstatSync(fd).size };
}

/** Cuts `file` when it has grown past its limit. True: it did. */
export function rotateLog({ file, limitBytes }: { file: string; limitBytes: number }): boolean {
  if (sizeOf(file) <= limitBytes) return false;
  try {
    copyFileSync(file, `${file}.1`);
  } catch {
    // The disk is full, most likely: then it is the cut that matters.
  }
  try {
    truncateSync(file);
    return true;
  } catch {
    return false;
  }
}

/** The last `count` lines written after `startOffset`. */
export function lastLines({
  file,
  startOffset,
  count,
}: {
  file: string;
  startOffset: number;
  count: number;
}): string[] {
  const size = sizeOf(file);
  const from = Math.max(startOffset > size ? 0 : startOffset, size - LINE_LIMIT_BYTES);
  const lines = readFrom(file, from).toString('utf8').split('\n');
  return lines.filter((line) => line.trim() !== '').slice(-count);
}

/** Calls `onLine` with every line after `startOffset`, until the returned function is called. */
export function followLog({
  file,
  startOffset,
  onLine,
}: {
  file: string;
  startOffset: number;
  onLine: (line: string) => void;
}): () => void {
  let offset = startOffset;
  let rest = Buffer.alloc(0);
  let stopped = false;

  const read = (): void => {
    if (sizeOf(file) < offset) {
      offset = 0;
      rest = Buffer.alloc(0);
    }
    for (let chunk = readFrom(file, offset); chunk.length > 0; chunk = readFrom(file, offset)) {
      offset += chunk.length;
      rest = Buffer.concat([rest, chunk]);
      for (let end = rest.indexOf(10); end >= 0 || rest.length > LINE_LIMIT_BYTES;) {
        const length = end >= 0 ? end : LINE_LIMIT_BYTES;
        const line = rest.toString('utf8', 0, length);
        rest = rest.subarray(end >= 0 ? end + 1 : length);
        onLine(line);
        if (stopped) return;
        end = rest.indexOf(10);
      }
    }
  };

  const timer = setInterval(read, POLL_MS);
  const watcher = watchOrNull(file, read);
  const stop = (): void => {
    stopped = true;
    clearInterval(timer);
    watcher?.close();
  };
  // Not at once: the caller has nothing to stop it with yet.
  queueMicrotask(() => {
    if (!stopped) read();
  });
  return stop;
}

function watchOrNull(file: string, listener: () => void): ReturnType<typeof watch> | null {
  try {
    const watcher = watch(file, { persistent: false }, listener);
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    // No inotify instance is left; the poll has to do.
    return null;
  }
}

function sizeOf(file: string): number {
  return lookAt(file)?.size ?? 0;
}

/** At most {@link LINE_LIMIT_BYTES} from `offset` on; empty at the end, when the file is gone, and when it cannot be read. */
function readFrom(file: string, offset: number): Buffer {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    return Buffer.alloc(0);
  }
  try {
    const buffer = Buffer.alloc(LINE_LIMIT_BYTES);
    return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, offset));
  } catch {
    return Buffer.alloc(0);
  } finally {
    closeSync(fd);
  }
}
