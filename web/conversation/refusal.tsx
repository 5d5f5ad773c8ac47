import { IconButton } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';

/** Something that one should know of what was just done, until it is read. */
export function Remark({ words, onClose }: { words: string | null; onClose: () => void }) {
  return (
    <div role="status" className="refusal-place">
      {words !== null && (
        <div className="refusal refusal-remark">
          <span>{words}</span>
          <IconButton size="s" icon="close" label="Dismiss" onClick={onClose} />
        </div>
      )}
    </div>
  );
}

/** What was refused, until it is read: above the composer, where the eye is. */
export function Refusal({ words, onClose }: { words: string | null; onClose: () => void }) {
  return (
    <div role="alert" className="refusal-place">
      {words !== null && (
        <div className="refusal">
          <Icon name="warning" size={16} />
          <span>{words}</span>
          <IconButton size="s" icon="close" label="Dismiss" onClick={onClose} />
        </div>
      )}
    </div>
  );
}
