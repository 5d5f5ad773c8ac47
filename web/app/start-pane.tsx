import { useEffect, useId, useRef, useState, type SubmitEvent } from 'react';

import type { HoldfastClient, Problem } from '../client/contract.ts';
import { IconButton } from '../parts/button.tsx';
import { isComposing } from '../parts/composing.ts';
import { ProblemLine } from '../parts/problem-line.tsx';
import { providerName } from '../parts/provider-words.ts';
import { useProviders } from '../parts/use-providers.ts';
import { startConversation, startDrafts } from './start.ts';

/**
 * Where no conversation is yet: the first message can be typed at once, and what it needs (a table, a conversation) is made when
 * it is sent. `tableId` null: there is no table either.
 */
export function StartPane({
  client,
  tableId,
  tableProvider,
  onStarting,
  onStarted,
}: {
  client: HoldfastClient;
  tableId: string | null;
  tableProvider: string | null;
  /** True from the first try until it has succeeded: what it makes on its way takes this pane's reason away, and not its text. */
  onStarting: (isStarting: boolean) => void;
  /** Not told once the pane has gone: somebody went elsewhere meanwhile. */
  onStarted: (tableId: string, conversationId: string) => void;
}) {
  const [drafts] = useState(() => startDrafts(tableId));
  const [text, setText] = useState(() => drafts.get().text);
  const [chosen, setChosen] = useState<string | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const providers = useProviders(client);
  const field = useRef<HTMLTextAreaElement>(null);
  const isThere = useRef(false);
  const id = useId();
  const provider = chosen ?? tableProvider ?? providers[0]?.providerId ?? null;

  useEffect(() => {
    field.current?.focus();
    isThere.current = true;
    return () => {
      isThere.current = false;
    };
  }, []);
  useEffect(() => {
    const onLeave = (event: Event) => {
      if (!drafts.isKept()) event.preventDefault();
    };
    window.addEventListener('beforeunload', onLeave);
    return () => window.removeEventListener('beforeunload', onLeave);
  }, [drafts]);
  const send = () => {
    if (isBusy || text.trim() === '') return;
    setIsBusy(true);
    setProblem(null);
    onStarting(true);
    const draft = drafts.get();
    void startConversation(client, { draft, tableId, provider }).then((failed) => {
      setIsBusy(false);
      setProblem(failed);
      if (failed !== null) return;
      drafts.clear();
      if (!isThere.current) return;
      onStarting(false);
      onStarted(tableId ?? draft.tableId, draft.conversationId);
    });
  };
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    send();
  };
  return (
    <main className="start-pane">
      <div className="start-pane-middle">
        <h1 className="start-pane-title">Start a conversation</h1>
        <p className="start-pane-words">
          What is said here is kept and goes on, whatever is closed, killed or offline in between.
        </p>
        <form className="start-pane-composer" onSubmit={submit}>
          <textarea
            ref={field}
            aria-label="Message"
            placeholder="Ask for something…"
            rows={2}
            value={text}
            readOnly={isBusy}
            onChange={(event) => {
              setText(event.target.value);
              drafts.setText(event.target.value);
            }}
            onKeyDown={(event) => {
              if (event.key !== 'Enter' || event.shiftKey || isComposing(event)) return;
              event.preventDefault();
              send();
            }}
          />
          <div className="start-pane-tools">
            {providers.length > 1 && (
              <>
                <label className="visually-hidden" htmlFor={`${id}-provider`}>
                  Provider
                </label>
                <select
                  id={`${id}-provider`}
                  className="start-pane-provider"
                  value={provider ?? ''}
                  onChange={(event) => setChosen(event.target.value)}
                >
                  {providers.map(({ providerId }) => (
                    <option key={providerId} value={providerId}>
                      {providerName(providerId)}
                    </option>
                  ))}
                </select>
              </>
            )}
            <IconButton
              label="Send"
              icon="send"
              type="submit"
              className="start-pane-send"
              disabled={isBusy || text.trim() === ''}
            />
          </div>
        </form>
        {problem !== null && <ProblemLine problem={problem} onRetry={send} />}
      </div>
    </main>
  );
}
