/**
 * The client of the page: one link, one outbox, and what is looked at. Nothing of it knows React, and everything that it takes of the
 * browser is in {@link Parts}.
 */
import type { Event } from '../../src/contracts/events.ts';
import type { ProviderItemValue } from '../../src/contracts/http.ts';
import { browserParts } from './browser-parts.ts';
import type { HoldfastClient } from './contract.ts';
import { conversationHandle } from './conversation-handle.ts';
import { ConversationStore } from './conversation-store.ts';
import { Creations } from './creations.ts';
import { Drafts } from './drafts.ts';
import { Edits } from './edits.ts';
import type { Engine } from './engine.ts';
import { FrameBatch } from './frame-batch.ts';
import { Http, path } from './http.ts';
import { Kept } from './kept.ts';
import { Link } from './link.ts';
import { OpenedByKey } from './opened.ts';
import { Outbox } from './outbox.ts';
import type { PageEvent, Parts } from './parts.ts';
import { Retries } from './retries.ts';
import { Streams } from './streams.ts';
import { tableHandle, TableStore } from './table-store.ts';
import { TablesList } from './tables-list.ts';
import { teamHandle, TeamStore } from './team-store.ts';
import { Token, TOKEN_NAME } from './token.ts';
import { triggersHandle, TriggersStore } from './triggers-store.ts';
import { isEvent } from './wire.ts';

/** A client that is at work until it is closed. What is not given is the browser's. */
export function createClient(given: Partial<Parts> = {}): HoldfastClient {
  const parts = browserParts(given);
  const kept = new Kept(parts);
  const token = new Token(parts, kept);
  const frames = new FrameBatch(parts);
  const creations = new Creations(parts);
  const streams: Streams = new Streams(parts, {
    link: () => link,
    isAwaited: (conversationId) => creations.isAwaited(conversationId),
  });
  const link: Link = new Link(parts, {
    token: () => token.get(),
    listener: {
      onOpen: () => streams.onOpen(),
      onLive: () => {
        token.remember();
        outbox.reachable();
        // The first link comes when they are on their way.
        if (tables.state.get().is !== 'loading' || !isReading) void tables.read();
        isReading = false;
        triggersStore()?.refresh();
      },
      onLost: () => streams.onLost(),
      onFrame: (frame) => {
        if (isEvent(frame)) streams.onEvent(frame);
        else streams.onFrame(frame);
      },
    },
  });
  const http = new Http(parts, {
    token: () => token.get(),
    onUnauthorised: (refused) => link.refused(refused),
  });
  const tables = new TablesList(parts, http);
  let isReading = token.get() !== null;
  const outbox: Outbox = new Outbox({
    parts,
    http,
    kept,
    owner: {
      onChange: (conversationId) => conversations.get(conversationId)?.unsentChanged(),
      isAwaited: (conversationId, turnId) =>
        conversations.get(conversationId)?.isAwaited(turnId) ?? false,
      isBeingMade: (conversationId) => creations.isAwaited(conversationId),
      isReachable: () => link.state.get().is !== 'unauthorised',
    },
  });
  const drafts = new Drafts(parts, kept);
  const edits = new Edits(parts, kept);
  const keepTexts = (): void => {
    drafts.texts.keep();
    edits.texts.keep();
  };
  const retries = new Retries({ parts, http, kept }, (key) => conversations.open(key));
  const engine: Engine = {
    parts,
    http,
    link,
    streams,
    frames,
    outbox,
    creations,
    drafts,
    edits,
    retries,
    onEvent: (event: Event) => {
      tables.sawEvent(event);
      triggersStore()?.sawEvent(event);
    },
  };
  const conversations: OpenedByKey<ConversationStore> = new OpenedByKey(
    parts,
    (key) => new ConversationStore(engine, key),
  );
  const tableStores = new OpenedByKey(parts, (key) => new TableStore(engine, key));
  const teams = new OpenedByKey(parts, (key) => new TeamStore(engine, key));
  const triggers: OpenedByKey<TriggersStore> = new OpenedByKey(
    parts,
    () => new TriggersStore(engine),
  );
  const triggersStore = (): TriggersStore | undefined => triggers.get(ALL);

  const setToken = (value: string): void => {
    if (token.set(value) || link.state.get().is === 'unauthorised') link.tokenChanged();
  };
  const tryNow = (): void => {
    link.connect();
    outbox.reachable();
  };
  const onPageEvent = (event: PageEvent): void => {
    switch (event.is) {
      case 'wake':
        frames.visibilityChanged();
        tryNow();
        return;
      case 'online':
        tryNow();
        return;
      case 'offline':
        link.offline();
        return;
      case 'hidden':
        frames.visibilityChanged();
        keepTexts();
        return;
      case 'asked':
        keepTexts();
        outbox.keep();
        if (!drafts.texts.isAllKept || !edits.texts.isAllKept || !outbox.isAllKept) event.stay();
        return;
      case 'leaving':
        keepTexts();
        return;
      case 'address': {
        const pasted = token.inAddress(event.before);
        if (pasted !== null) setToken(pasted);
        return;
      }
      case 'kept': {
        const name = event.key === null ? null : kept.nameOf(event.key);
        if (name === null) return;
        outbox.keptChanged(name, event.value);
        retries.keptChanged(name, event.value);
        drafts.texts.keptChanged(name, event.value);
        edits.texts.keptChanged(name, event.value);
        // Another page was given the right one.
        if (name === TOKEN_NAME && event.value !== null && link.state.get().is === 'unauthorised')
          setToken(event.value);
      }
    }
  };
  link.state.subscribe(() => {
    if (link.state.get().is === 'unauthorised' && token.fallBack()) link.tokenChanged();
  });
  const stopPageEvents = parts.onPageEvent(onPageEvent);
  link.connect();
  if (token.get() !== null) void tables.read();
  outbox.begin();
  retries.begin();

  return {
    link: link.state,
    setToken,
    reconnect: tryNow,
    tables: tables.state,
    loadMoreTables: () => void tables.loadMore(),
    createTable: (request) => tables.create(request),
    openTable: (tableId) => {
      const { shared, release } = tableStores.open(tableId);
      return tableHandle(engine, shared, release);
    },
    openConversation: (conversationId) => {
      const { shared, release } = conversations.open(conversationId);
      // What waits to be said in it has waited for somebody to look.
      shared.unsentChanged();
      return conversationHandle(engine, shared, release);
    },
    openTeam: (conversationId) => {
      const { shared, release } = teams.open(conversationId);
      return teamHandle(engine, shared, release);
    },
    openTriggers: () => {
      const { shared, release } = triggers.open(ALL);
      return triggersHandle(engine, shared, release);
    },
    providers: async () => {
      const outcome = await http.get<{ items: ProviderItemValue[] }>({
        method: 'GET',
        path: path('providers'),
        repeats: 1,
      });
      return outcome.ok && 'value' in outcome ? { ok: true, value: outcome.value.items } : outcome;
    },
    close: () => {
      stopPageEvents();
      keepTexts();
      outbox.close();
      retries.close();
      conversations.close();
      tableStores.close();
      teams.close();
      triggers.close();
      tables.close();
      frames.close();
      link.close();
    },
  };
}

/** There is one list of triggers. */
const ALL = 'all';
