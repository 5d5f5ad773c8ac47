import { useMemo, useRef, useState } from 'react';

import type { ConversationHandle, HoldfastClient, TurnInfo } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';
import { useReadable } from '../parts/use-readable.ts';
import { Announcer } from './announcer.tsx';
import { Composer, type ComposerHandle } from './composer.tsx';
import {
  before,
  ConversationContext,
  type ConversationTools,
  type PanelName,
} from './conversation-context.ts';
import { canReplace, editOf, LostEdits } from './edits.ts';
import { ConversationHeader } from './header.tsx';
import { placeMemory } from './place-memory.ts';
import { QueueList } from './queue-list.tsx';
import { Refusal, Remark } from './refusal.tsx';
import { RowList, type RowListHandle } from './row-list.tsx';
import { SideBySide } from './side-by-side.tsx';
import { problemWords } from './words.ts';
import { WorkRegion } from './work-region.tsx';

export type ConversationProps = {
  handle: ConversationHandle;
  client: HoldfastClient;
  onOpenPanel: (panel: PanelName) => void;
  onOpenConversation: (conversationId: string) => void;
};

/** The whole `main`: one conversation. Another handle is another conversation, which begins afresh. */
export function Conversation(props: ConversationProps) {
  return <OneConversation key={props.handle.conversationId} {...props} />;
}

function OneConversation({ handle, client, onOpenPanel, onOpenConversation }: ConversationProps) {
  const state = useReadable(handle);
  const { view, rows, work, older, isStale } = state;
  const [problem, setProblem] = useState<string | null>(null);
  const [remark, setRemark] = useState<string | null>(null);
  const [compared, setCompared] = useState<TurnInfo | null>(null);
  const list = useRef<RowListHandle>(null);
  const composer = useRef<ComposerHandle>(null);
  // the callers' functions may be new with each render; what rows are given is not
  const callbacks = useRef({ onOpenPanel, onOpenConversation });
  callbacks.current = { onOpenPanel, onOpenConversation };

  const tools = useMemo((): ConversationTools => {
    const compose = (text: string): void => {
      if (composer.current !== null) composer.current.compose(text);
      // somebody went to another conversation while it was asked for
      else handle.setDraft(before(text, handle.draft.get()));
    };
    const memory = placeMemory(handle.conversationId);
    return {
      handle,
      client,
      memory,
      openPanel: (panel) => callbacks.current.onOpenPanel(panel),
      openConversation: (conversationId) => callbacks.current.onOpenConversation(conversationId),
      perform: async (what, command) => {
        setProblem(null);
        const outcome = await command;
        if (outcome.ok)
          return 'value' in outcome ? { is: 'done', value: outcome.value } : { is: 'accepted' };
        setProblem(`Could not ${what}. ${problemWords(outcome.problem)}`);
        return { is: 'refused' };
      },
      compare: setCompared,
      compose,
      editMessage: (messageId, text) => {
        if (!canReplace(handle.get().view, messageId)) {
          compose(text);
          setRemark(GONE);
          return;
        }
        const name = { of: 'message', id: messageId } as const;
        const { text: open, original = null } = editOf(handle.edits.get(), name) ?? {};
        memory.focused = messageId;
        const isTouched = open !== undefined && open !== original;
        handle.setEdit({ ...name, text: isTouched ? before(text, open) : text, original });
        list.current?.show(messageId);
      },
      say: setRemark,
      focusComposer: () => composer.current?.focus(),
      followEnd: () => list.current?.followEnd(),
    };
  }, [handle, client]);
  return (
    <ConversationContext value={tools}>
      <main className={isStale ? 'conversation conversation-stale' : 'conversation'}>
        <ConversationHeader
          title={view.title}
          provider={view.provider}
          model={view.model}
          usage={view.usage}
          isArchived={view.archived}
        />
        {rows.length > 0 ? (
          <RowList ref={list} rows={rows} older={older} />
        ) : (
          <Nothing state={state} onRetry={() => client.reconnect()} />
        )}
        <div className="conversation-foot">
          <WorkRegion work={work} isStale={isStale} />
          <QueueList queue={view.queue} isHeld={view.held} />
          <LostEdits />
          <Refusal words={problem} onClose={() => setProblem(null)} />
          <Remark words={remark} onClose={() => setRemark(null)} />
          <Composer ref={composer} />
        </div>
        <Announcer handle={handle} />
        {compared !== null && <SideBySide turn={compared} onClose={() => setCompared(null)} />}
      </main>
    </ConversationContext>
  );
}

/** What was to replace a message that cannot be replaced any more. */
const GONE =
  'The message that this was to replace is not part of the history any more: sent from here, it is a new one.';

function Nothing({
  state,
  onRetry,
}: {
  state: ReturnType<ConversationHandle['get']>;
  onRetry: () => void;
}) {
  if (state.is === 'loading')
    return (
      <div className="conversation-nothing">
        <p role="status">Loading the conversation…</p>
      </div>
    );
  if (state.is === 'failed')
    return (
      <div className="conversation-nothing">
        <p role="alert">
          This conversation could not be loaded.{' '}
          {state.problem === null ? '' : problemWords(state.problem)}
        </p>
        <Button onClick={onRetry}>Try again</Button>
      </div>
    );
  return (
    <div className="conversation-nothing">
      <p className="conversation-nothing-title">What shall be done?</p>
      <p>
        Nothing that is sent here gets lost: not when this page is closed, not when the engine or
        the machine stops.
      </p>
    </div>
  );
}
