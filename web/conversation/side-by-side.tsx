import { useMemo, useState } from 'react';
import { VList } from 'virtua';

import type { TurnInfo } from '../client/contract.ts';
import { Dialog } from '../parts/dialog.tsx';
import { usageText } from '../parts/usage-words.ts';
import { useConversation } from './conversation-context.ts';
import { RowView } from './rows/row.tsx';
import { outcomeWords } from './words.ts';

/** Two attempts of a turn beside each other, each whole. */
export function SideBySide({ turn, onClose }: { turn: TurnInfo; onClose: () => void }) {
  const newest = turn.attempts.at(-1)?.attempt ?? 1;
  const [left, setLeft] = useState(turn.attempts.at(-2)?.attempt ?? 1);
  const [right, setRight] = useState(newest);
  return (
    <Dialog title="Attempts side by side" isOpen onClose={onClose} className="side-by-side">
      <div className="side-by-side-columns">
        <AttemptColumn turn={turn} attempt={left} label="Left" onChoose={setLeft} />
        <AttemptColumn turn={turn} attempt={right} label="Right" onChoose={setRight} />
      </div>
    </Dialog>
  );
}

function AttemptColumn({
  turn,
  attempt,
  label,
  onChoose,
}: {
  turn: TurnInfo;
  attempt: number;
  label: string;
  onChoose: (attempt: number) => void;
}) {
  const { handle } = useConversation();
  const info = turn.attempts.find((each) => each.attempt === attempt);
  const rows = useMemo(
    () =>
      handle
        .rowsOfAttempt(turn.turnId, attempt)
        // its tabs would open this dialog once more
        .filter(({ type }) => type !== 'turn-end'),
    [handle, turn, attempt],
  );
  return (
    <section className="side-by-side-column" aria-label={`Attempt ${attempt}`}>
      <header className="side-by-side-header">
        <select
          aria-label={`${label}: which attempt`}
          value={attempt}
          onChange={({ target }) => onChoose(Number(target.value))}
        >
          {turn.attempts.map((each) => (
            <option key={each.attempt} value={each.attempt}>
              Attempt {each.attempt}: {outcomeWords(each.outcome).toLowerCase()}
            </option>
          ))}
        </select>
        <span>{usageText(info?.usage ?? null)}</span>
      </header>
      {rows.length === 0 ? (
        <p className="side-by-side-empty">It said nothing.</p>
      ) : (
        <VList className="side-by-side-rows" data={rows} itemSize={160} tabIndex={0}>
          {(row) => <RowView key={row.key} row={row} />}
        </VList>
      )}
    </section>
  );
}
