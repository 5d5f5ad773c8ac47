/**
 * A block of a model's answer as elements. It is untrusted.
 *
 * Invariants:
 *  1 Raw HTML is text. Nothing that is drawn asks the network for anything.
 *  2 A link leads where {@link safeAddress} allows, in another tab, which learns nothing of this one; any other address is text.
 *  3 Markup that would cost seconds is shown as it is written.
 *  4 Its headings are below the page's own, its fields are disabled, and what scrolls takes the focus.
 */
import type { Element, ElementContent } from 'hast';
import { createContext, memo, useContext, type ReactNode } from 'react';
import ReactMarkdown, { type Components } from 'react-markdown';
import remarkGfm from 'remark-gfm';

import { Icon } from '../parts/icon.tsx';
import { CodeBlock } from './code-block.tsx';
import { safeAddress } from './link-policy.ts';
import { isTooCostly } from './markdown-cost.ts';

const Sealed = createContext(true);

const PLUGINS = [remarkGfm];

/** `isSealed`: the text changes no more, so that it is worth being coloured. */
export const Markdown = memo(function Markdown({
  text,
  isSealed = true,
}: {
  text: string;
  isSealed?: boolean;
}) {
  return (
    <Sealed value={isSealed}>
      <div className="markdown">
        {isTooCostly(text) ? (
          <p className="markdown-as-written">{text}</p>
        ) : (
          <ReactMarkdown
            remarkPlugins={PLUGINS}
            components={COMPONENTS}
            urlTransform={leaveToComponents}
          >
            {text}
          </ReactMarkdown>
        )}
      </div>
    </Sealed>
  );
});

/** `a` and `img` show an address that is refused as text, for which they need it; anything else has none. */
function leaveToComponents(address: string, attribute: string, { tagName }: Element): string {
  const isShown =
    (tagName === 'a' && attribute === 'href') || (tagName === 'img' && attribute === 'src');
  return isShown ? address : '';
}

const COMPONENTS: Components = {
  a: ({ href, children }) => <Link address={href ?? ''}>{children}</Link>,
  img: ({ src, alt }) => <Picture address={typeof src === 'string' ? src : ''} words={alt ?? ''} />,
  input: ({ checked }) => (
    <input
      type="checkbox"
      disabled
      readOnly
      checked={checked === true}
      aria-label={checked === true ? 'Done' : 'To do'}
    />
  ),
  h1: ({ children }) => <h3 className="markdown-h1">{children}</h3>,
  // most answers begin with the second level, and a level that is left out is a hole for who listens
  h2: ({ children }) => <h3 className="markdown-h2">{children}</h3>,
  h3: ({ children }) => <h4 className="markdown-h3">{children}</h4>,
  h4: ({ children }) => <h5 className="markdown-h4">{children}</h5>,
  h5: ({ children }) => <h5 className="markdown-h4">{children}</h5>,
  h6: ({ children }) => <h5 className="markdown-h4">{children}</h5>,
  table: ({ children }) => (
    // what scrolls must be reached by keys
    <div className="markdown-table" role="region" aria-label="Table" tabIndex={0}>
      <table>{children}</table>
    </div>
  ),
  pre: ({ node }) => <Fence node={node} />,
  // ids of footnotes would be the same in each block, and are targets of nothing
  section: ({ children }) => <section className="markdown-footnotes">{children}</section>,
  li: ({ children, className }) => <li className={className}>{children}</li>,
};

function Link({ address, children }: { address: string; children?: ReactNode }) {
  const href = safeAddress(address);
  if (href !== null)
    return (
      <a href={href} target="_blank" rel="noreferrer noopener" title={href}>
        {children}
      </a>
    );
  // a footnote's: it would lead to another place of the page, or nowhere
  if (address.startsWith('#') || address === '') return <span>{children}</span>;
  return (
    <span className="markdown-refused">
      {children} <span className="markdown-address">({address})</span>
    </span>
  );
}

/** Its words and where it is. It is not asked for: that alone would tell somebody something. */
function Picture({ address, words }: { address: string; words: string }) {
  const href = safeAddress(address);
  return (
    <span className="markdown-picture">
      <Icon name="external" size={14} />
      <span>Image not loaded{words === '' ? '' : `: ${words}`}</span>{' '}
      {href === null ? (
        <span className="markdown-address">{address}</span>
      ) : (
        <a className="markdown-address" href={href} target="_blank" rel="noreferrer noopener">
          {href}
        </a>
      )}
    </span>
  );
}

function Fence({ node }: { node: Element | undefined }) {
  const isSealed = useContext(Sealed);
  const code = node?.children.find(isCode);
  if (code === undefined) return null;
  // a fence's text ends with a line feed that nobody has written
  const text = textOf(code.children).replace(/\n$/u, '');
  return <CodeBlock text={text} language={languageOf(code)} isSealed={isSealed} />;
}

function isCode(child: ElementContent): child is Element {
  return child.type === 'element' && child.tagName === 'code';
}

function textOf(nodes: readonly ElementContent[]): string {
  return nodes
    .map((node) =>
      node.type === 'text' ? node.value : node.type === 'element' ? textOf(node.children) : '',
    )
    .join('');
}

/** Longest name that is shown of a language. */
const LANGUAGE_CHARS = 32;

function languageOf(code: Element): string | null {
  const names = code.properties['className'];
  if (!Array.isArray(names)) return null;
  const name = names.find((each) => typeof each === 'string' && each.startsWith('language-'));
  return typeof name === 'string'
    ? name.slice('language-'.length, 'language-'.length + LANGUAGE_CHARS)
    : null;
}
