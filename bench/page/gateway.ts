/**
 * A gateway by itself over a store of its own, and the page that it serves. Without a worker nobody takes up what the bench writes as
 * if it were a turn host; reading, which is all that a page does here, needs nobody else.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { ensurePage } from '../../scripts/bundle-page.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/port.ts';

const program = fileURLToPath(new URL('../../src/gateway.ts', import.meta.url));
const TOKEN = 'bench-token-0123456789abcdef';

export class PageGateway {
  /** `http://127.0.0.1:<port>`. */
  readonly origin: string;
  readonly token = TOKEN;
  readonly store: Store;
  readonly #child: ChildProcess;
  readonly #home: string;

  private constructor(parts: { origin: string; store: Store; child: ChildProcess; home: string }) {
    this.origin = parts.origin;
    this.store = parts.store;
    this.#child = parts.child;
    this.#home = parts.home;
  }

  /** Builds the page where its sources have changed. */
  static async start(): Promise<PageGateway> {
    await ensurePage();
    const home = mkdtempSync(join(tmpdir(), 'holdfast-bench-page-'));
    mkdirSync(join(home, 'run'));
    mkdirSync(join(home, 'work'));
    writeFileSync(join(home, 'token'), TOKEN, { mode: 0o600 });
    // Before the gateway, which only reads.
    const store = await openStore({ url: `sqlite:${join(home, 'holdfast.db')}` });
    const { PATH, HOME } = process.env;
    const child = spawn(process.execPath, ['--max-semi-space-size=4', program], {
      env: {
        PATH,
        HOME,
        HOLDFAST_HOME: home,
        HOLDFAST_PORT: '0',
        HOLDFAST_WORKSPACE_ROOTS: join(home, 'work'),
      },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const lines = createInterface({ input: child.stdout });
    const [line] = (await once(lines, 'line')) as [string];
    const { addresses } = JSON.parse(line) as { addresses: { port: number }[] };
    const origin = `http://127.0.0.1:${addresses[0]?.port ?? 0}`;
    return new PageGateway({ origin, store, child, home });
  }

  async stop(): Promise<void> {
    this.#child.kill();
    await once(this.#child, 'exit');
    await this.store.close();
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 5 });
  }
}
