/** The token: given once in the address (`#token=…`), or by hand, and then kept in this browser. */
import type { Kept } from './kept.ts';
import type { Parts } from './parts.ts';

export const TOKEN_NAME = 'token';

export class Token {
  readonly #kept: Kept;
  #value: string | null;

  constructor(parts: Pick<Parts, 'address'>, kept: Kept) {
    this.#kept = kept;
    const given = tokenInAddress(parts);
    // At once: it is in the address no more, and the gateway may be away.
    if (given !== null) kept.set(TOKEN_NAME, given);
    this.#value = given ?? kept.get(TOKEN_NAME);
  }

  get(): string | null {
    return this.#value;
  }

  /** Whether it is another one. */
  set(token: string): boolean {
    const value = token.trim();
    const isNew = value !== this.#value;
    this.#value = value === '' ? null : value;
    return isNew;
  }

  /** It is the right one. */
  remember(): void {
    if (this.#value !== null && this.#kept.get(TOKEN_NAME) !== this.#value)
      this.#kept.set(TOKEN_NAME, this.#value);
  }
}

/** Takes it out of the address, and leaves there what else its fragment says. */
function tokenInAddress({ address }: Pick<Parts, 'address'>): string | null {
  const members = address.fragment().split('&');
  const given = members.find((member) => member.startsWith('token='));
  if (given === undefined) return null;
  address.replaceFragment(members.filter((member) => member !== given).join('&'));
  try {
    const token = decodeURIComponent(given.slice('token='.length)).trim();
    return token === '' ? null : token;
  } catch {
    return null;
  }
}
