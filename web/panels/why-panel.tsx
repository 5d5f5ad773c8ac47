import { useCallback, useEffect, useRef, useState } from 'react';

import type {
  ConversationHandle,
  ConversationState,
  HoldfastClient,
  Problem,
  WhyValue,
} from '../client/contract.ts';
import { Button } from '../parts/button.tsx';
import { CopyButton } from '../parts/copy-button.tsx';
import { Icon } from '../parts/icon.tsx';
import { ProblemLine } from '../parts/problem-line.tsx';
import { fullWords, withLocalTimes } from '../parts/time-words.ts';
import { Duration, useNow } from '../parts/time.tsx';
import { useOpened } from '../parts/use-opened.ts';
import { useSelected } from '../parts/use-readable.ts';

/** Why nothing happens, or what happens: what the conversation waits for, the evidence, and the command that helps. */
export function WhyPanel({
  client,
  conversationId,
}: {
  client: HoldfastClient;
  conversationId: string;
}) {
  const handle = useOpened(conversationId, (id) => client.openConversation(id));
  return handle === null ? null : <Why handle={handle} />;
}

/** What changes the answer. */
const momentOf = ({ view, work }: ConversationState) =>
  [
    view.state,
    view.activeTurn?.phase,
    view.activeTurn?.attempt,
    view.queue.length,
    view.held,
    view.approvals.length,
    work?.quiet != null,
  ].join(' ');

function Why({ handle }: { handle: ConversationHandle }) {
  const moment = useSelected(handle, momentOf);
  const [answer, setAnswer] = useState<WhyValue | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isAsking, setIsAsking] = useState(false);
  const asked = useRef(0);
  const ask = useCallback(() => {
    asked.current += 1;
    const mine = asked.current;
    setIsAsking(true);
    void handle.why().then((outcome) => {
      if (mine !== asked.current) return;
      setIsAsking(false);
      setProblem(outcome.ok ? null : outcome.problem);
      if (outcome.ok && 'value' in outcome) setAnswer(outcome.value);
    });
  }, [handle]);
  useEffect(() => {
    ask();
    return () => {
      asked.current += 1;
    };
  }, [ask, moment]);

  return (
    <div className="why" aria-busy={isAsking}>
      {problem !== null && <ProblemLine problem={problem} onRetry={ask} />}
      {answer === null && problem === null && <p className="panel-empty">Looking…</p>}
      {answer !== null && <Answer answer={answer} />}
      {answer !== null && (
        <div className="why-foot">
          <Button size="s" onClick={ask} disabled={isAsking}>
            <Icon name="retry" size={16} />
            Look again
          </Button>
          <TemporalLink address={answer.temporalUi} />
        </div>
      )}
    </div>
  );
}

/** What the engine says of it. */
export function Answer({ answer }: { answer: WhyValue }) {
  const { state, waitingFor, since, evidence, fix } = answer;
  return (
    <>
      <section className="why-state" aria-label="What it waits for">
        <span className="badge">{state}</span>
        <p className="why-waiting">{waitingFor}</p>
        {since !== null && (
          <p className="why-since">
            For <Since at={since} />
          </p>
        )}
      </section>
      {fix !== null && (
        <section className="why-fix" aria-label="What helps">
          <h3 className="panel-heading">What helps</h3>
          <p>{fix.why}</p>
          <div className="why-command">
            <pre tabIndex={0} aria-label="Command">
              <code>{fix.command}</code>
            </pre>
            <CopyButton text={() => fix.command} label="Copy the command" />
          </div>
        </section>
      )}
      {evidence.length > 0 && (
        <section aria-label="Evidence">
          <h3 className="panel-heading">Evidence</h3>
          <dl className="facts facts-wide">
            {evidence.map(({ what, value }) => (
              <div key={what}>
                <dt>{what}</dt>
                <dd>{withLocalTimes(value)}</dd>
              </div>
            ))}
          </dl>
        </section>
      )}
    </>
  );
}

function Since({ at }: { at: string }) {
  const now = useNow(1_000);
  const atMs = Date.parse(at);
  return (
    <time dateTime={at} title={fullWords(atMs)}>
      <Duration ms={Math.floor((now - atMs) / 1_000) * 1_000} />
    </time>
  );
}

/** The address comes from the engine's settings: only what a browser opens as a page is made a link. */
export function TemporalLink({ address }: { address: string | null }) {
  if (address === null || !/^https?:\/\//i.test(address)) return null;
  return (
    <a className="why-temporal" href={address} target="_blank" rel="noreferrer noopener">
      Temporal Web UI
      <Icon name="external" size={15} />
    </a>
  );
}
