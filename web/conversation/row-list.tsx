/**
 * The rows, of which those in sight are drawn.
 *
 * Invariants:
 *  1 Who is at the end stays there, whatever comes; who is not stays where they are, whatever comes or goes above and below.
 *  2 Leaving the end takes a person: a list that changes its size by itself does not.
 *  3 A conversation that is come back to is where it was left.
 */
import {
  useCallback,
  useImperativeHandle,
  useLayoutEffect,
  useRef,
  useState,
  type KeyboardEvent,
  type Ref,
} from 'react';
import { VList, type VListHandle } from 'virtua';

import type { ConversationState, Row } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { useConversation } from './conversation-context.ts';
import { listChange } from './list-change.ts';
import type { ScrollPlace } from './place-memory.ts';
import { RowView } from './rows/row.tsx';
import { useScrollIntent } from './scroll-intent.ts';

/** `show`: brings the row of that key into sight, where it stays. */
export type RowListHandle = { followEnd(): void; show(key: string): void };

/** Of a row that was never measured; measured on real conversations. Source: page-stack, section 4. */
const ROW_SIZE = 160;
const BUFFER_PX = 300;
/** Closer to the end than this is at the end. */
const AT_END_PX = 48;
/** Closer to the beginning than this, older rows are asked for. */
const LOAD_OLDER_PX = 1_200;

export function RowList({
  ref,
  rows: given,
  older,
}: {
  ref: Ref<RowListHandle>;
  rows: readonly Row[];
  older: ConversationState['older'];
}) {
  const { handle, memory } = useConversation();
  const list = useRef<VListHandle>(null);
  const { rows, isShift } = useStaged(given);
  // what it was when it was last left; a new conversation begins at its end
  const [left] = useState(() => memory.scroll);
  const isFollowing = useRef(left?.isAtEnd ?? true);
  const [isAway, setAway] = useState(!isFollowing.current);
  const anchor = useRef<ScrollPlace['anchor']>(left?.anchor ?? null);
  const drawn = useRef<{ rows: readonly Row[]; isPlaced: boolean }>({ rows, isPlaced: false });
  const intent = useScrollIntent();

  const follow = useCallback(() => {
    const { length } = drawn.current.rows;
    if (isFollowing.current && length > 0)
      list.current?.scrollToIndex(length - 1, { align: 'end' });
  }, []);
  const goToAnchor = useCallback(() => {
    const place = anchor.current;
    const index = drawn.current.rows.findIndex(({ key }) => key === place?.key);
    if (place !== null && index >= 0)
      list.current?.scrollToIndex(index, { align: 'start', offset: place.offset });
  }, []);

  useLayoutEffect(() => {
    const before = drawn.current;
    const change = listChange(before.rows, rows);
    drawn.current = { rows, isPlaced: true };
    // a row that only grows is followed when its size is known; asking for it here would cost a layout more
    const isGrowth = change === 'end' && before.isPlaced && before.rows.length === rows.length;
    if (isFollowing.current) {
      if (!isGrowth) follow();
    } else if (!before.isPlaced || change === 'other') goToAnchor();
  }, [rows, follow, goToAnchor]);

  const askForOlder = useCallback(() => {
    const view = list.current;
    if (older !== 'more' || view === null || view.viewportSize === 0) return;
    // at its end, nobody looks for what is older, unless the end is the beginning too
    const isFilled = view.scrollSize > view.viewportSize;
    if (isFollowing.current && isFilled) return;
    if (view.scrollOffset < LOAD_OLDER_PX) handle.loadOlder();
  }, [older, handle]);
  // rows that came in may still not fill what is seen
  useLayoutEffect(askForOlder, [askForOlder, rows]);

  const remember = useCallback(() => {
    const view = list.current;
    const all = drawn.current.rows;
    if (view === null) return;
    const index = view.findItemIndex(view.scrollOffset);
    const row = all[index];
    anchor.current =
      row === undefined
        ? null
        : { key: row.key, offset: view.scrollOffset - view.getItemOffset(index) };
    memory.scroll = {
      anchor: anchor.current,
      isAtEnd: isFollowing.current,
      sizes: view.cache,
      length: all.length,
    };
  }, [memory]);

  const onScroll = (): void => {
    const view = list.current;
    if (view === null) return;
    const distance = view.scrollSize - view.scrollOffset - view.viewportSize;
    if (distance <= AT_END_PX) isFollowing.current = true;
    else if (intent.isUpwards(view)) isFollowing.current = false;
    intent.note(view);
    setAway(!isFollowing.current);
    remember();
    askForOlder();
  };
  const followEnd = useCallback(() => {
    isFollowing.current = true;
    setAway(false);
    follow();
  }, [follow]);
  const show = useCallback((key: string) => {
    const index = drawn.current.rows.findIndex((row) => row.key === key);
    if (index < 0) return;
    isFollowing.current = false;
    setAway(true);
    list.current?.scrollToIndex(index, { align: 'nearest' });
  }, []);
  useImperativeHandle(ref, () => ({ followEnd, show }), [followEnd, show]);
  // the browser's own way there ends where a row turns out to be larger than was thought
  const onKeyDown = (event: KeyboardEvent): void => {
    intent.listeners.onKeyDown();
    const isPlain = !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey;
    const first = drawn.current.rows[0];
    if (event.target !== event.currentTarget || !isPlain || first === undefined) return;
    if (event.key === 'Home') show(first.key);
    else if (event.key === 'End') followEnd();
    else return;
    event.preventDefault();
  };

  return (
    <div className="row-list">
      <h2 className="visually-hidden">Messages</h2>
      <VList
        ref={list}
        className="row-list-rows"
        role="log"
        aria-label="Conversation"
        // what is scrolled into sight is not news: announcer.tsx says what is
        aria-live="off"
        tabIndex={0}
        data={rows}
        itemSize={ROW_SIZE}
        bufferSize={BUFFER_PX}
        shift={isShift}
        {...(left !== null && left.length === rows.length ? { cache: left.sizes } : {})}
        onScroll={onScroll}
        onResize={() => {
          follow();
          askForOlder();
        }}
        {...intent.listeners}
        onKeyDown={onKeyDown}
      >
        {(row) => <RowView key={row.key} row={row} />}
      </VList>
      <Older older={older} onRetry={() => handle.loadOlder()} />
      {isAway && (
        <div className="row-list-jump">
          <Button size="s" onClick={followEnd}>
            <Icon name="down" size={16} />
            Jump to latest
          </Button>
        </div>
      )}
    </div>
  );
}

function Older({ older, onRetry }: { older: ConversationState['older']; onRetry: () => void }) {
  if (older === 'loading')
    return (
      <p className="row-list-older" role="status">
        Loading older messages…
      </p>
    );
  if (older !== 'failed') return null;
  return (
    <p className="row-list-older" role="alert">
      Older messages could not be loaded.
      <button type="button" className="link-button" onClick={onRetry}>
        Try again
      </button>
    </p>
  );
}

/**
 * The rows as the virtual list can take them: it keeps its place from the beginning or from the end, so that rows which came at
 * both ends are given to it one after the other, before anything is painted.
 */
function useStaged(given: readonly Row[]): { rows: readonly Row[]; isShift: boolean } {
  const [taken, setTaken] = useState({ rows: given, isShift: false, given });
  let next = taken;
  if (taken.given !== given) {
    const change = listChange(taken.rows, given);
    const isBoth = change === 'both';
    const last = taken.rows.at(-1)?.key;
    const rows = isBoth ? given.slice(0, given.findIndex(({ key }) => key === last) + 1) : given;
    next = { rows, isShift: isBoth || change === 'start', given };
    setTaken(next);
  }
  const isWhole = next.rows.length === given.length;
  useLayoutEffect(() => {
    if (!isWhole) setTaken({ rows: given, isShift: false, given });
  }, [isWhole, given]);
  return next;
}
