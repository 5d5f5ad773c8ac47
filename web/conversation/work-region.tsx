import { useId, useState } from 'react';

import type { Outcome, Work } from '../client/contract.ts';
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
        <Quiet key={work.quiet.sinceMs} work={work} quiet={work.quiet} />
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

function Quiet({ work, quiet }: { work: Work; quiet: NonNullable<Work['quiet']> }) {
  const { handle, perform, focusComposer } = useConversation();
  /** What had the focus goes with the first step of the cancel. */
  const end = (what: string, command: Promise<Outcome<unknown>>): void => {
    void perform(what, command);
    focusComposer();
  };
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
        <Button size="s" variant="danger" onClick={() => end('cancel the turn', handle.cancel())}>
          Cancel turn
        </Button>
        <Button size="s" onClick={() => end('retry the turn', handle.retryAfterEnd(work.turnId))}>
          Retry
        </Button>
      </div>
    </div>
  );
}

function Silence({ sinceMs }: { sinceMs: number }) {
  return durationOf(useNow(1_000) - sinceMs);
}
