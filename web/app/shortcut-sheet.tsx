import { Dialog } from '../parts/dialog.tsx';
import { SHORTCUT_WORDS } from './shortcuts.ts';

/** What the keys do. */
export function ShortcutSheet({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Dialog title="Keyboard" isOpen={isOpen} onClose={onClose}>
      <dl className="shortcut-sheet">
        {SHORTCUT_WORDS.map(({ keys, does }) => (
          <div key={does} className="shortcut-sheet-row">
            <dt>{does}</dt>
            <dd>
              {keys.map((key) => (
                <kbd key={key}>{key === 'Mod' ? modifier() : key}</kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

function modifier(): string {
  return /mac|iphone|ipad/i.test(navigator.userAgent) ? '⌘' : 'Ctrl';
}
