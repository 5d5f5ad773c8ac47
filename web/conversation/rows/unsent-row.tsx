import type { Unsent } from '../../client/contract.ts';
import { Button } from '../../parts/button.tsx';
import { Icon } from '../../parts/icon.tsx';
import { useSelected } from '../../parts/use-readable.ts';
import { useConversation } from '../conversation-context.ts';
import { unsentWords } from '../words.ts';
import { UserText } from './user-row.tsx';

/** What the log does not have: on its way, or refused. */
export function UnsentRow({ unsent }: { unsent: Unsent }) {
  const { handle, client, compose, editMessage } = useConversation();
  const isLive = useSelected(client.link, (link) => link.is === 'live');
  const { requestId, content, replaces } = unsent;
  const edit = (): void => {
    const text = handle.takeBack(requestId);
    if (replaces === null) compose(text);
    else editMessage(replaces, text);
  };
  const isRefused = unsent.is === 'refused';
  return (
    <div className={`user-row unsent-row ${isRefused ? 'unsent-row-refused' : ''}`}>
      <UserText name={requestId} text={content} />
      <div className="unsent-row-state" role={isRefused ? 'alert' : undefined}>
        <Icon name={isRefused ? 'warning' : 'clock'} size={14} />
        <span>{unsentWords(unsent, isLive)}</span>
      </div>
      {isRefused && (
        <div className="unsent-row-buttons">
          <Button size="s" variant="primary" onClick={() => handle.sendAgain(requestId)}>
            Send again
          </Button>
          <Button size="s" onClick={edit}>
            Edit
          </Button>
        </div>
      )}
    </div>
  );
}
