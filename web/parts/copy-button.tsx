import { useEffect, useState } from 'react';

import { IconButton } from './button.tsx';

/** How long it says that it was copied. */
const SAID_MS = 1_600;

/** Copies what `text` gives when it is pressed, and says whether that went well. */
export function CopyButton({
  text,
  label = 'Copy',
  size = 'm',
}: {
  text: () => string;
  label?: string;
  size?: 's' | 'm';
}) {
  const [said, setSaid] = useState<'' | 'Copied' | 'Not copied'>('');
  useEffect(() => {
    if (said === '') return;
    const timer = setTimeout(() => setSaid(''), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = () => {
    void copyText(text()).then((isCopied) => setSaid(isCopied ? 'Copied' : 'Not copied'));
  };
  return (
    <span className="copy-button">
      <IconButton
        label={label}
        title={said === '' ? label : said}
        size={size}
        icon={said === 'Copied' ? 'check' : said === '' ? 'copy' : 'warning'}
        onClick={copy}
      />
      <span role="status" className="visually-hidden">
        {said}
      </span>
    </span>
  );
}

/** Answers whether the clipboard has it now. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

/** The old way: a page that came over plain HTTP from another machine has no `navigator.clipboard`. */
function copySelected(text: string): boolean {
  const area = document.createElement('textarea');
  const before = document.activeElement;
  area.value = text;
  area.className = 'visually-hidden';
  // inside an open dialog: outside of it nothing takes the focus
  (before?.closest('[role="dialog"]') ?? document.body).append(area);
  area.select();
  try {
    // oxlint-disable-next-line typescript/no-deprecated -- there is no other way without a secure context
    return document.execCommand('copy');
  } finally {
    area.remove();
    if (before instanceof HTMLElement) before.focus();
  }
}
