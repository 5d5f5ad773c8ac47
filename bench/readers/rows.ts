/** The floor's process and its clients (bench/floor/row-server.ts). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { conversationStream } from '../../src/contracts/ids.ts';

const PROGRAM = fileURLToPath(new URL('../floor/row-server.ts', import.meta.url));
const DONE = Buffer.from('caught-up\n');

export class RowServer {
  readonly port: number;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #answers: Interface;

  private constructor(child: ChildProcess, answers: Interface, port: number) {
    this.#child = child;
    this.#answers = answers;
    this.port = port;
    this.pid = child.pid ?? 0;
  }

  static async start(databasePath: string): Promise<RowServer> {
    const child = spawn(process.execPath, [PROGRAM, databasePath], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const answers = createInterface({ input: child.stdout });
    const [line] = (await once(answers, 'line')) as [string];
    const { port } = JSON.parse(line) as { port: number };
    return new RowServer(child, answers, port);
  }

  /** One order by stdin; resolves when it has been carried out. */
  async order(line: string): Promise<void> {
    const done = once(this.#answers, 'line');
    this.#child.stdin?.write(`${line}\n`);
    await done;
  }

  stop(): void {
    this.#child.kill();
  }
}

export function openRows(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true }, () => resolve(socket));
    socket.once('error', reject);
  });
}

/** Resolves when the rows after `lastSeq` have been read to the end. */
export function rowsAfter(
  socket: Socket,
  { conversationId, lastSeq }: { conversationId: string; lastSeq: number },
): Promise<void> {
  return askRows(socket, `after ${conversationStream(conversationId)} ${lastSeq}`);
}

/** Writes a line and reads to the end of its answer. */
export function askRows(socket: Socket, line: string): Promise<void> {
  return new Promise((resolve) => {
    let last: Buffer = Buffer.alloc(0);
    const read = (bytes: Buffer): void => {
      last = bytes.length >= DONE.length ? bytes : Buffer.concat([last, bytes]);
      if (!last.subarray(-DONE.length).equals(DONE)) return;
      socket.off('data', read);
      resolve();
    };
    socket.on('data', read);
    socket.write(`${line}\n`);
  });
}
