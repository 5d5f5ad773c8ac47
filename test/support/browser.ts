/**
 * A real browser for tests, and devices in it: a device is a context of its own, with its own storage and its own size.
 *
 * 1. Whatever goes wrong in a device fails its test: an error in its console or of its scripts, a violation of the policy, a request
 *    to anywhere but the engine, a request for an image. A test that provokes one of those names it ({@link Device.expectFault}).
 * 2. No device outlives its test.
 */
import { type BrowserContext, type Browser, chromium, type Page } from 'playwright-core';

import { findChromium } from './chromium.ts';

export type DeviceName = 'desktop' | 'phone';

/** Sizes in CSS pixels. */
const SIZES: Readonly<Record<DeviceName, { width: number; height: number }>> = {
  desktop: { width: 1_280, height: 800 },
  phone: { width: 390, height: 844 },
};

/** What a locator is waited for at most, unless a test says otherwise: these machines are slow, and four tests run at once. */
export const PATIENCE_MS = 20_000;

/** Starts a browser without a window. Stays the caller's to close. */
export async function launchBrowser(): Promise<Browser> {
  const { path, environment } = await findChromium();
  return chromium.launch({
    executablePath: path,
    env: { ...definedOnly(process.env), ...environment },
    // No sandbox, because these tests may run as root; no GPU, which such machines do not have.
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--font-render-hinting=none',
    ],
  });
}

function definedOnly(environment: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    ),
  );
}

export type DeviceSettings = { colorScheme?: 'light' | 'dark' };

export class Device {
  readonly name: DeviceName;
  readonly context: BrowserContext;
  readonly page: Page;
  /** Everything that should not have happened, in words. */
  readonly faults: string[] = [];
  /** Every request of the page, `<method> <address>`. */
  readonly requests: string[] = [];
  readonly #expected: RegExp[] = [];
  readonly #origins = new Set<string>();

  private constructor(name: DeviceName, context: BrowserContext, page: Page) {
    this.name = name;
    this.context = context;
    this.page = page;
  }

  /** A fresh one, that has never been at any address. */
  static async create(
    browser: Browser,
    name: DeviceName,
    { colorScheme = 'light' }: DeviceSettings = {},
  ): Promise<Device> {
    const context = await browser.newContext({
      viewport: SIZES[name],
      hasTouch: name === 'phone',
      isMobile: name === 'phone',
      colorScheme,
      // an animation is nothing to wait for
      reducedMotion: 'reduce',
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    context.setDefaultTimeout(PATIENCE_MS);
    // an extra line beside the browser's own, which says no more than the directive
    await context.addInitScript(
      `document.addEventListener('securitypolicyviolation', (event) => console.error(
        'policy violated: ' + event.violatedDirective + ' by ' + event.blockedURI + ' ' + event.sample))`,
    );
    const page = await context.newPage();
    const device = new Device(name, context, page);
    device.#watch(page);
    return device;
  }

  /** Goes to an address of the engine; nothing of another origin may be asked for after it. */
  async open(address: string): Promise<void> {
    this.#origins.add(new URL(address).origin);
    await this.page.goto(address, { waitUntil: 'domcontentloaded' });
  }

  /** Closes the tab and opens another one, in the same browser: storage is kept, memory is not. */
  async reopen(address: string): Promise<Device> {
    await this.page.close();
    const page = await this.context.newPage();
    const again = new Device(this.name, this.context, page);
    again.#expected.push(...this.#expected);
    again.faults.push(...this.faults);
    again.#watch(page);
    await again.open(address);
    return again;
  }

  /** From now on what matches is no fault: the test has made it happen. */
  expectFault(pattern: RegExp): void {
    this.#expected.push(pattern);
  }

  /** The engine is away for a while: the browser says so by itself of every request, and no page can keep it from that. */
  expectOutage(): void {
    this.expectFault(
      /^console: (WebSocket connection to|Failed to load resource: (net::|the server responded with a status of 503))/,
    );
  }

  #watch(page: Page): void {
    const note = (fault: string): void => {
      if (!this.#expected.some((pattern) => pattern.test(fault))) this.faults.push(fault);
    };
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning')
        note(`console: ${message.text()}`);
    });
    page.on('pageerror', (error) => note(`error: ${error.stack ?? error.message}`));
    page.on('crash', () => note('the page crashed'));
    page.on('request', (request) => {
      this.requests.push(`${request.method()} ${request.url()}`);
      const { origin, protocol } = new URL(request.url());
      if (!this.#origins.has(origin) && protocol !== 'blob:')
        note(`request to another origin: ${request.url()}`);
      if (request.resourceType() === 'image') note(`request for an image: ${request.url()}`);
    });
    page.on('websocket', (socket) => {
      const origin = new URL(socket.url()).origin.replace(/^ws/, 'http');
      if (!this.#origins.has(origin)) note(`WebSocket to another origin: ${socket.url()}`);
    });
  }
}
