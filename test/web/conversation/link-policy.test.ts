import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { safeAddress } from '../../../web/conversation/link-policy.ts';

describe('invariant 1: only http, https and mailto, written out', () => {
  test.each([
    ['https://example.org', 'https://example.org/'],
    ['HTTPS://Example.ORG/A?b=c#d', 'https://example.org/A?b=c#d'],
    ['http://127.0.0.1:4610/x', 'http://127.0.0.1:4610/x'],
    ['https://[::1]/', 'https://[::1]/'],
    ['mailto:somebody@example.org', 'mailto:somebody@example.org'],
    ['https://bücher.example/', 'https://xn--bcher-kva.example/'],
  ])('%s leads somewhere', (address, href) => {
    expect(safeAddress(address)).toBe(href);
  });

  test.each([
    'javascript:alert(1)',
    'JaVaScRiPt:alert(1)',
    ' javascript:alert(1)',
    '\u0001javascript:alert(1)',
    'java\nscript:alert(1)',
    'java\tscript:alert(1)',
    'java\u0000script:alert(1)',
    '\u00a0javascript:alert(1)',
    '\u2028javascript:alert(1)',
    '\u3000https://example.org',
    '\ufeffhttps://example.org',
    '\u200bhttps://example.org',
    'data:text/html,<script>alert(1)</script>',
    'DATA:text/html;base64,AAAA',
    'vbscript:msgbox(1)',
    'file:///etc/passwd',
    'blob:https://example.org/1',
    'filesystem:https://example.org/1',
    'view-source:https://example.org',
    'about:blank',
    'ws://example.org',
    'ftp://example.org',
    'tel:123',
    'intent://x#Intent;end',
    '//evil.example/x',
    '\\\\evil.example\\x',
    '/\\evil.example',
    'https:\\\\evil.example',
    'https:/evil.example',
    'https:evil.example',
    'https:///evil.example',
    'https://',
    'http://?',
    'https://#x',
    '/v1/conversations',
    './docs/page.md',
    '../x',
    '?q=1',
    '#x',
    '',
    ' ',
    'example.org',
    'mailto:',
    'mailto:?subject=x',
    'javascript&colon;alert(1)',
    'https://exam ple.org',
    'https://example.org\r\nx',
    'https://[',
    'https://example.org:99999/',
  ])('%j leads nowhere', (address) => {
    expect(safeAddress(address)).toBeNull();
  });
});

describe('invariant 2: what is shown is where it leads', () => {
  test.each([
    'https://bank.example@evil.example/',
    'https://bank.example:443@evil.example/',
    'https://:x@evil.example/',
    'https://example.org/\u202egpj.exe',
    'https://exa\u00admple.org/',
    'https://example.org/\u2066x',
    'https://example.org/\ud800',
  ])('%j leads nowhere', (address) => {
    expect(safeAddress(address)).toBeNull();
  });
});

test('whatever it is given, what comes out is an address of the three, and stays one', () => {
  const scheme = fc.constantFrom('https://', 'http:', 'javascript:', 'data:', '//', 'mailto:', '');
  fc.assert(
    fc.property(scheme, fc.string({ unit: 'binary' }), fc.webUrl(), (head, text, url) => {
      for (const address of [head + text, text + url, url]) {
        const href = safeAddress(address);
        if (href === null) continue;
        expect(href).toMatch(/^(https?:\/\/[^/]|mailto:)/);
        expect(safeAddress(href)).toBe(href);
      }
    }),
  );
});
