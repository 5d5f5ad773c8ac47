/** The page as a person or a screen reader finds it: by roles and names, which docs/page.md lists. */
import type { Locator, Page } from 'playwright-core';
import { expect } from 'vitest';

import type { ConversationViewValue } from '../../src/contracts/view.ts';
import { type Device, PATIENCE_MS } from '../support/browser.ts';
import { textOf } from '../support/chat-clients.ts';
import { eventually } from '../support/eventually.ts';

/** Waits until it is seen. */
export const seen = (locator: Locator): Promise<void> => locator.first().waitFor();
/** Waits until it is not seen any more. */
export const gone = (locator: Locator): Promise<void> =>
  locator.first().waitFor({ state: 'hidden' });

/** The scripted provider's numbered words, in the order in which they stand in a text. */
export const numberedWords = (text: string): string[] => text.match(/\bw\d+\b/g) ?? [];

export class ChatPage {
  readonly device: Device;
  readonly page: Page;
  /** Origin at which it was opened. */
  readonly base: string;

  constructor(device: Device, base: string) {
    this.device = device;
    this.page = device.page;
    this.base = base;
  }

  get isPhone(): boolean {
    return this.device.name === 'phone';
  }

  get main(): Locator {
    return this.page.getByRole('main');
  }
  get log(): Locator {
    return this.page.getByRole('log', { name: 'Conversation' });
  }
  get composer(): Locator {
    return this.page.getByRole('textbox', { name: 'Message', exact: true });
  }
  get turn(): Locator {
    return this.page.getByRole('region', { name: 'Turn', exact: true });
  }
  get connection(): Locator {
    return this.page.getByRole('status', { name: 'Connection' });
  }
  get queue(): Locator {
    return this.page.getByRole('list', { name: 'Queue' });
  }
  get navigation(): Locator {
    return this.page.getByRole('navigation', { name: 'Conversations' });
  }

  button(name: string | RegExp): Locator {
    return this.page.getByRole('button', { name, exact: typeof name === 'string' });
  }

  /** Rows of a kind: "You", "Assistant", "Tool shell" … */
  rows(name: string | RegExp): Locator {
    return this.log.getByRole('article', { name, exact: typeof name === 'string' });
  }

  /** The line that says how an attempt ended. */
  ended(outcome: 'Completed' | 'Cancelled' | 'Failed' | 'Interrupted'): Locator {
    return this.log.getByText(outcome, { exact: true });
  }

  approval(title: string | RegExp = /^Approval: /): Locator {
    return this.page.getByRole('group', {
      name: typeof title === 'string' ? `Approval: ${title}` : title,
    });
  }

  /** A panel: beside the conversation, or over it on a phone. */
  panel(name: string): Locator {
    return this.page.getByRole(this.isPhone ? 'dialog' : 'complementary', { name });
  }

  /** Waits until the engine has let it in. */
  async isIn(): Promise<void> {
    await seen(this.composer);
  }

  /** Goes to a chat by its address, as a bookmark does. */
  async goTo({
    tableId,
    conversationId,
  }: {
    tableId: string;
    conversationId: string;
  }): Promise<void> {
    await this.page.goto(`${this.base}/#/t/${tableId}/c/${conversationId}`);
    await seen(this.log.or(this.main.getByText('What shall be done?')));
  }

  /** The chat that the address names. */
  async place(): Promise<{ tableId: string; conversationId: string }> {
    return eventually(() => {
      const found = /#\/t\/([^/]+)\/c\/([^/?]+)/.exec(this.page.url());
      const [, tableId, conversationId] = found ?? [];
      return tableId !== undefined && conversationId !== undefined
        ? { tableId, conversationId }
        : null;
    }, PATIENCE_MS);
  }

  /** Types a message and sends it: by Enter, and with a finger by the button. */
  async send(text: string): Promise<void> {
    await this.composer.fill(text);
    if (this.isPhone) await this.button(/^(Send|Queue)$/).click();
    else await this.composer.press('Enter');
    await eventually(async () => (await this.composer.inputValue()) === '', PATIENCE_MS);
  }

  /** Brings the list of chats into sight. */
  async openNavigation(): Promise<Locator> {
    if (!(await this.navigation.isVisible()))
      await this.button(/^(Show sidebar|Open chats)$/).click();
    await seen(this.navigation);
    return this.navigation;
  }

  /** A chat of the list, whose name begins with its title. */
  chat(title: string): Locator {
    const escaped = title.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
    return this.navigation.getByRole('link', { name: new RegExp(`^${escaped}`) });
  }

  /** Does something with the first message of a kind: its buttons are in a menu on a phone. */
  async act(row: Locator, action: string): Promise<void> {
    const last = row.last();
    if (this.isPhone) {
      await last.getByRole('button', { name: 'Message actions' }).click();
      await this.page.getByRole('menuitem', { name: action }).click();
    } else {
      await last.hover();
      await last.getByRole('button', { name: action, exact: true }).click();
    }
  }

  /** Chooses from the conversation's menu. */
  async choose(item: string): Promise<void> {
    await this.button('Conversation actions').click();
    await this.page.getByRole('menuitem', { name: item }).click();
  }

  /** The numbered words that stand in the conversation now. */
  async words(): Promise<string[]> {
    return numberedWords(await this.log.innerText());
  }

  /** Waits until the conversation shows that word. */
  async showsWord(word: string): Promise<void> {
    await eventually(async () => (await this.words()).includes(word), PATIENCE_MS);
  }

  /** Waits for no turn to run. */
  async isIdle(): Promise<void> {
    await gone(this.turn);
  }

  /**
   * Holds the screen against the log: each word of it, once, in its order. Of conversations that fit on the screen, as a list draws
   * no more than is seen.
   */
  async equals(view: ConversationViewValue): Promise<void> {
    const expected = numberedWords(textOf(view));
    const isSame = async (): Promise<boolean> => (await this.words()).join() === expected.join();
    // late, and then wrong, is shown in full
    await eventually(isSame, PATIENCE_MS).catch(() => {});
    expectWords(await this.words(), expected);
  }
}

function expectWords(found: readonly string[], expected: readonly string[]): void {
  expect(found).toEqual(expected);
}
