/** A real browser, a person's tabs in it, and what they cost. */
import { readFileSync } from 'node:fs';

import type { Browser, BrowserContext, CDPSession, Page } from 'playwright-core';

import { launchBrowser } from '../../test/support/browser.ts';
import type { PageGateway } from './gateway.ts';
import type { Chat } from './past.ts';

const PROBE = readFileSync(new URL('probe.js', import.meta.url), 'utf8');
/** What is not seen by then is never seen. */
const PATIENCE_MS = 60_000;

export type LongTask = { at: number; ms: number };

/** A browser, and one person in it, who has been let in. */
export class Person {
  readonly gateway: PageGateway;
  readonly #browser: Browser;
  #context: BrowserContext;

  private constructor(gateway: PageGateway, browser: Browser, context: BrowserContext) {
    this.gateway = gateway;
    this.#browser = browser;
    this.#context = context;
  }

  static async arrive(gateway: PageGateway): Promise<Person> {
    const browser = await launchBrowser();
    const person = new Person(gateway, browser, await newContext(browser));
    await person.#signIn();
    return person;
  }

  async #signIn(): Promise<void> {
    const page = await this.#context.newPage();
    await page.goto(`${this.gateway.origin}/#token=${this.gateway.token}`);
    await page.getByRole('navigation', { name: 'Conversations' }).first().waitFor();
    await page.close();
  }

  /** The same person in another browser: the token is known, and nothing else is. */
  async forget(): Promise<void> {
    const state = await this.#context.storageState();
    await this.#context.close();
    this.#context = await newContext(this.#browser, state);
  }

  addressOf({ tableId, conversationId }: Chat): string {
    return `${this.gateway.origin}/#/t/${tableId}/c/${conversationId}`;
  }

  /** A new tab that is at nothing yet. */
  async tab({
    conversationId,
    slowdown = 1,
  }: {
    conversationId: string;
    slowdown?: number;
  }): Promise<Tab> {
    const page = await this.#context.newPage();
    await page.addInitScript({
      content: `${PROBE}\npageProbe.begin(${JSON.stringify({ conversationId })});`,
    });
    const session = await this.#context.newCDPSession(page);
    await session.send('Performance.enable', { timeDomain: 'threadTicks' });
    if (slowdown !== 1) await session.send('Emulation.setCPUThrottlingRate', { rate: slowdown });
    return new Tab(page, session);
  }

  async leave(): Promise<void> {
    await this.#browser.close();
  }
}

function newContext(
  browser: Browser,
  storageState?: Awaited<ReturnType<BrowserContext['storageState']>>,
): Promise<BrowserContext> {
  return browser.newContext({
    viewport: { width: 1_280, height: 800 },
    ...(storageState === undefined ? {} : { storageState }),
  });
}

export class Tab {
  readonly page: Page;
  readonly #session: CDPSession;

  constructor(page: Page, session: CDPSession) {
    this.page = page;
    this.#session = session;
  }

  async go(address: string): Promise<void> {
    await this.page.goto(address, { waitUntil: 'commit' });
  }

  /** Something of the probe (probe.js), called in the page. */
  probe<T>(call: string): Promise<T> {
    return this.page.evaluate<T>(`pageProbe.${call}`);
  }

  /** When that text was painted at the end of the conversation, in ms since the navigation; Infinity: not in its time. */
  async shown(text: string): Promise<number> {
    const never = Promise.withResolvers<number>();
    const timer = setTimeout(() => never.resolve(Number.POSITIVE_INFINITY), PATIENCE_MS);
    try {
      return await Promise.race([
        this.probe<number>(`shown(${JSON.stringify(text)})`),
        never.promise,
      ]);
    } finally {
      clearTimeout(timer);
    }
  }

  async longTasks(): Promise<LongTask[]> {
    return this.probe('longTasks');
  }

  /** The page's clock now, and what `Date.now()` would say at its zero. */
  async clock(): Promise<{ now: number; originMs: number }> {
    return this.page.evaluate('({ now: performance.now(), originMs: performance.timeOrigin })');
  }

  /** After a collection that was asked for. */
  async heapMb(): Promise<number> {
    await this.#session.send('HeapProfiler.collectGarbage');
    const { usedSize } = await this.#session.send('Runtime.getHeapUsage');
    return usedSize / 1024 ** 2;
  }

  /** Elements and texts that the document holds. */
  async domNodes(): Promise<number> {
    return this.page.evaluate<number>(
      `(() => { let n = 0; const w = document.createTreeWalker(document, NodeFilter.SHOW_ALL); while (w.nextNode()) n += 1; return n; })()`,
    );
  }

  /** Processor time of its main thread since the tab was made, in ms: what a busy machine stretches least. */
  async busyMs(): Promise<number> {
    const { metrics } = await this.#session.send('Performance.getMetrics');
    return (metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN) * 1_000;
  }

  async close(): Promise<void> {
    await this.page.close();
  }
}
