/** A message that is mail, taken apart: each piece has the heading that the engine puts before it (src/domain/mail.ts). */

export type MailPart = { heading: string | null; body: string };

const HEADING = /^\[Holdfast mail\] (.*)$/gmu;

/** What stands before the first heading is a part without one, unless it is blank. */
export function mailParts(content: string): readonly MailPart[] {
  const parts: MailPart[] = [];
  let heading: string | null = null;
  let from = 0;
  const close = (to: number): void => {
    const body = content.slice(from, to).trim();
    if (heading !== null || body !== '') parts.push({ heading, body });
  };
  for (const found of content.matchAll(HEADING)) {
    close(found.index);
    heading = (found[1] ?? '').replace(/:$/u, '');
    from = found.index + found[0].length;
  }
  close(content.length);
  return parts;
}
