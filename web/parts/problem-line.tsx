import type { Problem } from '../client/contract.ts';
import { Button } from './button.tsx';

/** What went wrong, in a line; with a button where trying again may help. */
export function ProblemLine({ problem, onRetry }: { problem: Problem; onRetry?: () => void }) {
  return (
    <p className="problem-line" role="alert">
      <span>{problemWords(problem)}</span>
      {onRetry !== undefined && (
        <Button size="s" onClick={onRetry}>
          Try again
        </Button>
      )}
    </p>
  );
}

/** For people: what was wrong with this very request, or else what the refusal means. */
export function problemWords({ code, title, detail }: Problem): string {
  if (code === 'unreachable') return 'The engine cannot be reached just now.';
  return detail ?? title;
}
