/** How long a page takes. */
import { Agent, get } from 'node:http';

import type { Stack } from '../stack.ts';

/** GET over HTTP, on one connection. */
export class HttpReader {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #stack: Stack;

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  /** Milliseconds to the answer's last byte. */
  read(path: string): Promise<number> {
    const { status, token } = this.#stack;
    const from = performance.now();
    return new Promise((resolve, reject) => {
      get(
        `${status.api}${path}`,
        { agent: this.#agent, headers: { authorization: `Bearer ${token}` } },
        (answer) => {
          if (answer.statusCode !== 200) reject(new Error(`${path}: ${answer.statusCode}`));
          answer.resume();
          answer.once('end', () => resolve(performance.now() - from));
        },
      ).once('error', reject);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
