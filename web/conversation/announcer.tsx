import { useEffect, useRef, useState } from 'react';

import type { ConversationHandle, Row } from '../client/contract.ts';
import { outcomeWords } from './words.ts';

/** News are read out at most so often; what comes between is read together. */
const EVERY_MS = 2_500;
const LONGEST_CHARS = 700;
/** Rows from the end that are looked at. */
const LOOKED_AT = 12;

/**
 * Tells screen readers what is new: each paragraph once it is whole, and how a turn ended. The list itself is silent, since what
 * is scrolled into it is not new.
 */
export function Announcer({ handle }: { handle: ConversationHandle }) {
  const [words, setWords] = useState('');
  const waiting = useRef<string[]>([]);
  useEffect(() => {
    // what is there already is no news
    let told = new Set(handle.get().rows.slice(-LOOKED_AT).filter(isWhole).map(keyOf));
    let seen = handle.get().rows;
    let timer: ReturnType<typeof setTimeout> | null = null;
    const say = (): void => {
      timer = null;
      const text = waiting.current.join(' ');
      waiting.current = [];
      setWords(text.length <= LONGEST_CHARS ? text : `${text.slice(0, LONGEST_CHARS)}…`);
    };
    const unsubscribe = handle.subscribe(() => {
      const { rows, isStale } = handle.get();
      if (rows === seen) return;
      // all at once: a snapshot, or what was missed
      const isNew = !isStale && rows.length - seen.length <= LOOKED_AT;
      seen = rows;
      for (const row of rows.slice(-LOOKED_AT).filter(isWhole)) {
        if (isNew && !told.has(keyOf(row))) waiting.current.push(textOf(row));
      }
      told = new Set(rows.slice(-LOOKED_AT).filter(isWhole).map(keyOf));
      if (waiting.current.length > 0) timer ??= setTimeout(say, EVERY_MS);
    });
    return () => {
      unsubscribe();
      if (timer !== null) clearTimeout(timer);
    };
  }, [handle]);
  return (
    <div className="visually-hidden" aria-live="polite">
      {words}
    </div>
  );
}

function isWhole(row: Row): boolean {
  return (row.type === 'block' && row.block.sealed) || row.type === 'turn-end';
}

function keyOf(row: Row): string {
  return row.type === 'turn-end'
    ? `${row.key} ${row.attempt.attempt} ${row.attempt.outcome}`
    : row.key;
}

function textOf(row: Row): string {
  if (row.type === 'block') return row.block.text;
  return row.type === 'turn-end' && row.attempt.outcome !== null
    ? `${outcomeWords(row.attempt.outcome)}.`
    : '';
}
