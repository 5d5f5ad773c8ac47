/** The one load sequence, while everything moves. Numbers: design.md section 12. */
import { expect, test } from 'vitest';

import type { Event } from '../../../src/contracts/events.ts';
import type { ConversationViewValue, TableViewValue } from '../../../src/contracts/view.ts';
import { emptyView, foldEvents } from '../../../src/domain/fold.ts';
import { foldTableEvents } from '../../../src/domain/table-fold.ts';
import { textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import { readLog, script, words } from './conversations.ts';
import { viewOf } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';
import { expectWholeTable, TableFollower, TableUnderTest } from './tables.ts';

const holdfast = sharedHoldfast();
/** Devices that come while the turn streams. */
const DEVICES = 40;

type Frame = {
  type: string;
  seq?: number;
  tableId?: string;
  conversationId?: string;
  payload?: unknown;
};

/** A socket that subscribes as it is told, and what it is given, by stream. */
class Device {
  table: TableViewValue | null = null;
  readonly views = new Map<string, ConversationViewValue>();
  readonly faults: string[] = [];
  readonly #socket: WebSocket;

  constructor(table: TableUnderTest, subscriptions: readonly object[]) {
    const { api, token } = table.holdfast;
    const address = `${api.replace(/^http/, 'ws')}/v1/ws`;
    this.#socket = new WebSocket(address, ['holdfast.v1', `holdfast.token.${token}`]);
    this.#socket.addEventListener('open', () => {
      for (const frame of subscriptions) this.#socket.send(JSON.stringify(frame));
    });
    this.#socket.addEventListener('message', ({ data }) =>
      this.#receive(JSON.parse(String(data)) as Frame),
    );
  }

  close(): void {
    this.#socket.close();
  }

  #receive(frame: Frame): void {
    const { type, tableId, conversationId = '' } = frame;
    if (type === 'error' || type === 'reset') this.faults.push(JSON.stringify(frame));
    if (type === 'snapshot') {
      if (tableId === undefined)
        this.views.set(conversationId, frame.payload as ConversationViewValue);
      else this.table = frame.payload as TableViewValue;
    }
    if (frame.seq === undefined) return;
    const view = tableId === undefined ? this.views.get(conversationId) : this.table;
    if (view == null || frame.seq !== view.lastSeq + 1) {
      this.faults.push(`seq ${frame.seq} came after ${view?.lastSeq}`);
      return;
    }
    const event = frame as Event;
    if (tableId === undefined)
      this.views.set(conversationId, foldEvents(view as ConversationViewValue, [event]));
    else this.table = foldTableEvents(view as TableViewValue, [event]);
  }
}

test(
  'L1 L4 one call and two subscriptions, at any moment of a running turn, have neither gap nor repeat',
  { timeout: 120_000 },
  async () => {
    const table = await TableUnderTest.create(holdfast);
    const follower = new TableFollower(table);
    const conversationId = await table.newChat();
    const turn = await table.send(
      conversationId,
      script('words 1200 every 2', 'tool build for 50 prints 3'),
    );
    await table.until(conversationId, (view) => textOf(view) !== '');
    const devices: Device[] = [];
    const loadedAt = new Set<number>();
    for (let index = 0; index < DEVICES; index += 1) {
      const loaded = await table.view();
      if (loaded.active === null) throw new Error('no conversation is active');
      loadedAt.add(loaded.active.lastSeq);
      const device = new Device(table, [
        {
          type: 'table.subscribe',
          tableId: table.tableId,
          payload: { lastSeq: loaded.table.lastSeq },
        },
        {
          type: 'chat.subscribe',
          conversationId,
          payload: { lastSeq: loaded.active.lastSeq },
        },
      ]);
      device.table = loaded.table;
      device.views.set(conversationId, loaded.active);
      devices.push(device);
    }
    // At many different moments of it.
    expect(loadedAt.size).toBeGreaterThan(DEVICES / 4);
    expect(await table.endOf(turn)).toMatchObject({ outcome: 'completed', text: words(1200) });
    await table.atRest();
    const view = await viewOf({ holdfast, conversationId });
    const { table: snapshot } = await table.view();
    const log = await readLog(holdfast, conversationId);
    expect(foldEvents(emptyView(conversationId), log)).toEqual(view);
    for (const device of devices) {
      await eventually(() => device.views.get(conversationId)?.lastSeq === view.lastSeq);
      await eventually(() => device.table?.lastSeq === snapshot.lastSeq);
      expect(device.faults).toEqual([]);
      expect(device.views.get(conversationId)).toEqual(view);
      expect(device.table).toEqual(snapshot);
      device.close();
    }
    await expectWholeTable(table, follower);
    follower.close();
  },
);

test(
  'L1 L4 one subscription with {active: true} gives the table and its active conversation, and the next one when the slot moves',
  { timeout: 120_000 },
  async () => {
    const table = await TableUnderTest.create(holdfast);
    const follower = new TableFollower(table);
    const first = await table.newChat();
    const running = await table.streaming(first);
    const device = new Device(table, [
      { type: 'table.subscribe', tableId: table.tableId, payload: { active: true } },
    ]);
    await eventually(() => device.views.has(first));
    await eventually(() => textOf(device.views.get(first) ?? emptyView(first)).includes('w50 '));
    const second = await table.newChat();
    const next = await table.send(second, script('words 100 every 2'));
    expect(await table.endOf(running)).toMatchObject({ outcome: 'cancelled' });
    expect(await table.endOf(next)).toMatchObject({ outcome: 'completed' });
    await table.atRest();
    const view = await viewOf({ holdfast, conversationId: second });
    await eventually(() => device.views.get(second)?.lastSeq === view.lastSeq);
    expect(device.faults).toEqual([]);
    expect(device.views.get(second)).toEqual(view);
    const { table: snapshot } = await table.view();
    await eventually(() => device.table?.lastSeq === snapshot.lastSeq);
    expect(device.table).toEqual(snapshot);
    expect(snapshot.activeConversationId).toBe(second);
    await expectWholeTable(table, follower);
    device.close();
    follower.close();
  },
);
