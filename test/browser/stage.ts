/** An engine, a way to it that can be cut, and a browser with devices: what the tests of the page and its pictures are made on. */
import { randomUUID } from 'node:crypto';

import type { Browser } from 'playwright-core';

import type { ConversationViewValue } from '../../src/contracts/view.ts';
import { Device, type DeviceName, type DeviceSettings, launchBrowser } from '../support/browser.ts';
import { CuttableProxy } from '../support/cuttable-proxy.ts';
import { Holdfast } from '../support/holdfast.ts';
import { ChatPage } from './chat-page.ts';

/** A prompt for the scripted provider. */
export const script = (...steps: string[]): string => ['#script', ...steps].join('\n');

export type Chat = { tableId: string; conversationId: string };

export type Opening = DeviceSettings & {
  /** By the gateway's own address, or by the proxy, which can be cut. */
  through?: 'gateway' | 'proxy';
  /** Done with the device before it goes anywhere. */
  arrange?: (device: Device) => Promise<void>;
};

export class Stage {
  readonly #devices: Device[] = [];
  readonly #environment: Record<string, string>;
  #browser: Browser | null = null;
  #holdfast: Holdfast | null = null;
  #proxy: CuttableProxy | null = null;

  /** `environment`: settings of the engine beside the usual ones. */
  constructor(environment: Record<string, string> = {}) {
    this.#environment = environment;
  }

  async startBrowser(): Promise<void> {
    this.#browser = await launchBrowser();
  }

  async startEngine(temporalBinary: string): Promise<void> {
    this.#proxy = await CuttableProxy.listen();
    this.#holdfast = new Holdfast({
      temporalBinary,
      environment: {
        HOLDFAST_ALLOWED_HOSTS: this.#proxy.host,
        HOLDFAST_ALLOWED_ORIGINS: `http://${this.#proxy.host}`,
        ...this.#environment,
      },
    });
    await this.#holdfast.start();
    this.#proxy.leadTo(this.#holdfast.api);
  }

  async stopBrowser(): Promise<void> {
    await this.#browser?.close();
  }

  async stopEngine(): Promise<void> {
    await this.#proxy?.close();
    await this.#holdfast?.discard();
  }

  get holdfast(): Holdfast {
    if (this.#holdfast === null) throw new Error('the engine is not started');
    return this.#holdfast;
  }

  get proxy(): CuttableProxy {
    if (this.#proxy === null) throw new Error('the engine is not started');
    return this.#proxy;
  }

  /** The address that the start prints. */
  get printedAddress(): string {
    return `${this.holdfast.api}/#token=${this.holdfast.token}`;
  }

  /** A device that has been nowhere yet. */
  async device(name: DeviceName, settings: DeviceSettings = {}): Promise<Device> {
    if (this.#browser === null) throw new Error('the browser is not started');
    const device = await Device.create(this.#browser, name, settings);
    this.#devices.push(device);
    return device;
  }

  /** A device that has been let in, at that chat. */
  async open(
    name: DeviceName,
    chat: Chat,
    { through = 'gateway', arrange, ...settings }: Opening = {},
  ): Promise<ChatPage> {
    const device = await this.device(name, settings);
    await arrange?.(device);
    const base = through === 'proxy' ? `http://${this.proxy.host}` : this.holdfast.api;
    await device.open(`${base}/#token=${this.holdfast.token}`);
    const page = new ChatPage(device, base);
    await page.isIn();
    await page.goTo(chat);
    return page;
  }

  /** Closes a page's tab and opens the chat in another one of the same browser. */
  async reopen(page: ChatPage, { tableId, conversationId }: Chat): Promise<ChatPage> {
    const again = await page.device.reopen(`${page.base}/#/t/${tableId}/c/${conversationId}`);
    this.#devices.splice(this.#devices.indexOf(page.device), 1, again);
    return new ChatPage(again, page.base);
  }

  /** What each device shows, for whoever looks at a failed test. */
  async describeDevices(): Promise<string> {
    const described = this.#devices.map(async ({ name, page, faults }) => {
      const shown = page.isClosed() ? '(closed)' : await page.locator('body').ariaSnapshot();
      return `--- ${name}, at ${page.url()}\n${faults.join('\n')}\n${shown.slice(0, 6_000)}\n`;
    });
    const settled = await Promise.allSettled(described);
    return settled
      .map((each) => (each.status === 'fulfilled' ? each.value : String(each.reason)))
      .join('\n');
  }

  /** Closes all devices; answers with the faults that they saw, in words. */
  async closeDevices(): Promise<string[]> {
    const devices = this.#devices.splice(0);
    await Promise.all(devices.map(({ context }) => context.close()));
    return devices.flatMap(({ name, faults }) => faults.map((fault) => `${name}: ${fault}`));
  }

  /** A table of its own with an empty chat, so that what is done on one engine does not meet. */
  async newChat(title = 'A table'): Promise<Chat> {
    const tableId = `t-${randomUUID()}`;
    await this.holdfast.ask({ path: '/v1/tables', body: { tableId, title, provider: 'scripted' } });
    return { tableId, conversationId: await this.anotherChat(tableId) };
  }

  /** New chat in a table. */
  async anotherChat(tableId: string, title?: string): Promise<string> {
    const { conversationId } = await this.holdfast.ask<ConversationViewValue>({
      path: `/v1/tables/${tableId}/conversations`,
      body: title === undefined ? {} : { title },
    });
    return conversationId;
  }

  /** Sends by the API, as another device would. `wait`: until the turn has ended; else until it is taken. */
  async send(
    { conversationId }: Chat,
    content: string,
    { wait = false }: { wait?: boolean } = {},
  ): Promise<void> {
    await this.holdfast.ask({
      path: `/v1/conversations/${conversationId}/messages${wait ? '?wait=end' : ''}`,
      body: { requestId: randomUUID(), content },
    });
  }

  async view({ conversationId }: Chat): Promise<ConversationViewValue> {
    return this.holdfast.ask<ConversationViewValue>({
      path: `/v1/conversations/${conversationId}`,
    });
  }
}
