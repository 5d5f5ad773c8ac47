import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, test } from 'vitest';

import { Answer, TemporalLink } from '../../../web/panels/why-panel.tsx';

const html = renderToStaticMarkup;

describe('why', () => {
  const answer = {
    state: 'waiting-for-approval',
    waitingFor: 'It waits for your answer.',
    since: '2026-11-22T10:00:00.000Z',
    evidence: [{ what: 'asks for', value: '<b>rm</b>' }],
    fix: { command: 'holdfast answer c1 allow', why: 'Allows it.' },
    temporalUi: null,
  };
  test('says what it waits for, what is known, and the command that helps, to be copied', () => {
    const markup = html(createElement(Answer, { answer }));
    for (const words of ['It waits for your answer.', 'asks for', 'Allows it.'])
      expect(markup).toContain(words);
    expect(markup).toContain('<code>holdfast answer c1 allow</code>');
    expect(markup).toContain('aria-label="Copy the command"');
    expect(markup).toContain('&lt;b&gt;rm');
    expect(markup).toContain('dateTime="2026-11-22T10:00:00.000Z"');
  });
  test('where nothing is to be done it offers nothing', () => {
    const markup = html(
      createElement(Answer, { answer: { ...answer, fix: null, evidence: [], since: null } }),
    );
    expect(markup).not.toMatch(/<code|<dl|<time/);
  });
  test('only an address of the web is a link, and it tells nobody where it came from', () => {
    const link = (address: string | null) => html(createElement(TemporalLink, { address }));
    expect(link('http://127.0.0.1:8233/x')).toMatch(/target="_blank" rel="noreferrer noopener"/);
    for (const address of [null, 'javascript:alert(1)', 'data:text/html,x', '//x', ' http://x'])
      expect(link(address)).toBe('');
  });
});
