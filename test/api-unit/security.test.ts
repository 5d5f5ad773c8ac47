import { describe, expect, it } from 'vitest';

import { bearerToken, TICKET_LIFETIME_MS, Tickets, TokenCheck } from '../../src/api/security.ts';

describe('X3: tickets', () => {
  it('open once, within their time', () => {
    let now = 1_000;
    const tickets = new Tickets(() => now);
    const first = tickets.issue();
    const second = tickets.issue();
    const third = tickets.issue();
    // Said in the time that people see, kept by the other clock.
    const leftMs = first.expiresAt.getTime() - Date.now();
    expect(leftMs).toBeLessThanOrEqual(TICKET_LIFETIME_MS);
    expect(leftMs).toBeGreaterThan(TICKET_LIFETIME_MS - 10_000);
    expect(tickets.redeem(first.ticket)).toBe(true);
    expect(tickets.redeem(first.ticket)).toBe(false);
    now += TICKET_LIFETIME_MS - 1;
    expect(tickets.redeem(second.ticket)).toBe(true);
    now += 1;
    expect(tickets.redeem(third.ticket)).toBe(false);
    expect(tickets.redeem(null)).toBe(false);
    expect(tickets.redeem('')).toBe(false);
  });

  it('W2: are bounded: of very many the oldest is forgotten', () => {
    const tickets = new Tickets(() => 0);
    const issued = Array.from({ length: 5_000 }, () => tickets.issue().ticket);
    expect(new Set(issued).size).toBe(5_000);
    expect(tickets.redeem(issued[0] ?? '')).toBe(false);
    expect(tickets.redeem(issued.at(-1) ?? '')).toBe(true);
    expect(issued.filter((ticket) => tickets.redeem(ticket)).length).toBeLessThan(1_100);
  });
});

describe('X2: the token', () => {
  it('matches itself alone; one that is no secret is refused at the start', () => {
    const check = new TokenCheck('0123456789abcdef');
    expect(check.matches('0123456789abcdef')).toBe(true);
    for (const wrong of ['0123456789abcdeF', '0123456789abcde', '0123456789abcdef0', '', null])
      expect(check.matches(wrong)).toBe(false);
    expect(() => new TokenCheck('short')).toThrow(/too short/);
  });

  it('is read from Bearer', () => {
    expect(bearerToken('Bearer abc')).toBe('abc');
    expect(bearerToken('bearer   abc ')).toBe('abc');
    for (const other of [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      'Basic abc',
      'abc',
      'Bearer a b',
      'XBearer abc',
    ])
      expect(bearerToken(other)).toBeNull();
  });
});
