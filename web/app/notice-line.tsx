import { IconButton } from '../parts/button.tsx';
import { useReadable } from '../parts/use-readable.ts';
import type { Notices } from './notices.ts';

/** The newest notice, said once by assistive technology too. */
export function NoticeLine({ notices }: { notices: Notices }) {
  const notice = useReadable(notices);
  return (
    <div className="notice-line" data-shown={notice !== null} data-tone={notice?.tone}>
      <span role="status" aria-label="Notice" className="notice-line-words">
        {notice?.words}
      </span>
      {notice?.action != null && (
        <button
          type="button"
          className="notice-line-action"
          onClick={() => {
            notice.action?.run();
            notices.clear();
          }}
        >
          {notice.action.label}
        </button>
      )}
      {notice !== null && (
        <IconButton label="Dismiss" icon="close" size="s" onClick={() => notices.clear()} />
      )}
    </div>
  );
}
