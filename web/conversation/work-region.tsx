import { useEffect, useId, useRef, useState } from 'react';

import type { ConversationHandle, Work } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { durationWords } from '../parts/time-words.ts';
import { Ago, useNow } from '../parts/time.tsx';
import { usageText } from '../parts/usage-words.ts';
import { useConversation } from './conversation-context.ts';
import { CANCEL_STEPS, phaseWords } from './words.ts';

/** Heard from so lately, it is not said. */
const FRESH_MS = 3_000;

/** As the engine writes times. */
const TIMESTAMP = /^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/u;

/** What the running turn does: in words, since when, and when it was last heard of. Nothing while nothing runs. */
export function WorkRegion({ work, isStale }: { work: Work | null; isStale: boolean }) {
  const retry = useRetryAfterEnd();
  if (work === null) return null;
  return (
    <section
      aria-label="Turn"
      className={`work-region ${work.quiet === null ? '' : 'work-region-quiet'}`}
    >
      <div className="work-region-line">
        <span className={`work-region-pulse work-region-pulse-${work.phase}`} aria-hidden="true" />
        <div role="status" aria-atomic="false" className="work-region-status">
          <span className="work-region-phase">{phaseWords(work)}</span>
          {/* a clock that is read out each second drowns everything else */}
          <span aria-live="off" className="work-region-times">
            <Times work={work} isStale={isStale} />
          </span>
        </div>
        <span className="work-region-usage">{usageText(work.usage)}</span>
      </div>
      {work.retrying !== null && <Retrying retrying={work.retrying} />}
      {work.cancelling.length > 0 && <CancelSteps steps={work.cancelling} />}
      {work.quiet !== null && work.cancelling.length === 0 && (
        <Quiet key={work.quiet.sinceMs} work={work} quiet={work.quiet} onRetry={retry} />
      )}
    </section>
  );
}

function Times({ work, isStale }: { work: Work; isStale: boolean }) {
  const now = useNow(1_000);
  if (isStale) return 'as it was when the connection was lost';
  const silentMs = now - work.lastSignMs;
  const parts = [`for ${durationOf(now - work.phaseSinceMs)}`];
  if (silentMs > FRESH_MS) parts.push(`last sign of life ${durationOf(silentMs)} ago`);
  if (work.phaseSinceMs - work.startedAtMs > 1_000)
    parts.push(`turn ${durationOf(now - work.startedAtMs)}`);
  return parts.join(' · ');
}

/** Whole seconds: it ticks once in each. */
function durationOf(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  return seconds < 10 ? `${seconds} s` : durationWords(seconds * 1_000);
}

function Retrying({ retrying }: { retrying: NonNullable<Work['retrying']> }) {
  const now = useNow(1_000);
  const { attempt, untilMs, status } = retrying;
  const waits = untilMs > now ? ` in ${durationOf(untilMs - now + 999)}` : ' now';
  return (
    <p className="work-region-note">
      <Icon name="retry" size={14} />
      <span>
        The provider answered {status}; it tries again{waits}
        {attempt > 0 ? ` (try ${attempt})` : ''}
      </span>
    </p>
  );
}

function CancelSteps({ steps }: { steps: Work['cancelling'] }) {
  const beginning = steps[0]?.atMs ?? 0;
  return (
    <ol className="work-region-steps" aria-label="Steps of the cancel">
      {steps.map(({ step, atMs }) => (
        <li key={`${step} ${atMs}`}>
          {CANCEL_STEPS[step]}
          {atMs > beginning && (
            <span className="work-region-step-time">after {durationWords(atMs - beginning)}</span>
          )}
        </li>
      ))}
    </ol>
  );
}

function Quiet({
  work,
  quiet,
  onRetry,
}: {
  work: Work;
  quiet: NonNullable<Work['quiet']>;
  onRetry: (turnId: string) => void;
}) {
  const { handle, perform } = useConversation();
  const [isWaiting, setWaiting] = useState(false);
  const evidenceId = useId();
  if (isWaiting)
    return (
      <p className="work-region-note">
        <Icon name="clock" size={14} />
        <span>Quiet, and you are waiting for it.</span>
        <button type="button" className="link-button" onClick={() => setWaiting(false)}>
          Show the evidence
        </button>
      </p>
    );
  return (
    <div role="alert" className="quiet-alert" aria-describedby={evidenceId}>
      <p className="quiet-alert-title">
        <Icon name="warning" size={16} />
        <span>
          Nothing was heard for{' '}
          <span aria-live="off">
            <Silence sinceMs={quiet.sinceMs} />
          </span>
        </span>
      </p>
      <dl id={evidenceId} className="quiet-alert-evidence">
        {quiet.evidence.map(({ what, value }) => (
          <div key={what}>
            <dt>{what}</dt>
            <dd>{TIMESTAMP.test(value) ? <Ago at={value} /> : value}</dd>
          </div>
        ))}
      </dl>
      <div className="quiet-alert-buttons">
        <Button size="s" onClick={() => setWaiting(true)}>
          Wait
        </Button>
        <Button
          size="s"
          variant="danger"
          onClick={() => void perform('cancel the turn', handle.cancel())}
        >
          Cancel turn
        </Button>
        <Button size="s" onClick={() => onRetry(work.turnId)}>
          Retry
        </Button>
      </div>
    </div>
  );
}

function Silence({ sinceMs }: { sinceMs: number }) {
  return durationOf(useNow(1_000) - sinceMs);
}

/** A turn that runs cannot be retried: it is cancelled, and retried once it has ended otherwise than well. */
function useRetryAfterEnd(): (turnId: string) => void {
  const { handle, perform } = useConversation();
  const stop = useRef<(() => void) | null>(null);
  useEffect(() => () => stop.current?.(), [handle]);
  return (turnId) => {
    stop.current?.();
    stop.current = whenEnded(handle, turnId, (isRetryable) => {
      stop.current = null;
      if (isRetryable) void perform('retry', handle.retry(turnId));
    });
    const cancel = async (): Promise<void> => {
      const { is } = await perform('cancel the turn', handle.cancel());
      if (is === 'refused') stop.current?.();
    };
    void cancel();
  };
}

/** Calls `then` once, when that turn runs no more. Answers with how to give that up. */
function whenEnded(
  handle: ConversationHandle,
  turnId: string,
  then: (isRetryable: boolean) => void,
): () => void {
  const unsubscribe = handle.subscribe(() => {
    const { work, rows } = handle.get();
    if (work?.turnId === turnId) return;
    const end = rows.findLast((row) => row.type === 'turn-end' && row.turn.turnId === turnId);
    const outcome = end?.type === 'turn-end' ? end.turn.outcome : null;
    if (outcome === null) return;
    unsubscribe();
    then(outcome !== 'completed');
  });
  return unsubscribe;
}
