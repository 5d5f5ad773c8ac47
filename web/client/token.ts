/** The token: given once in the address (`#token=…`), or by hand, and then kept in this browser. */
import type { Kept } from './kept.ts';
import type { Parts } from './parts.ts';

export const TOKEN_NAME = 'token';
/** One from an address, until the engine has said whether it is the right one: whoever makes a link must not cost us the one we have. */
const GIVEN_NAME = 'token.given';

export class Token {
  readonly #parts: Pick<Parts, 'address'>;
  readonly #kept: Kept;
  #value: string | null;
  /** It came with an address. */
  #given: string | null = null;

  constructor(parts: Pick<Parts, 'address'>, kept: Kept) {
    this.#parts = parts;
    this.#kept = kept;
    const given = tokenInAddress(parts);
    // At once: it is in the address no more, and the gateway may be away.
    if (given !== null) this.#keepGiven(given);
    this.#given = given ?? kept.get(GIVEN_NAME);
    this.#value = this.#given ?? kept.get(TOKEN_NAME);
  }

  get(): string | null {
    return this.#value;
  }

  /** One that was put into the address of a page that was open already, where `before` was; null: there is none. */
  inAddress(before: string): string | null {
    return tokenInAddress(this.#parts, before);
  }

  /** Whether it is another one. */
  set(token: string): boolean {
    const value = token.trim();
    const isNew = value !== this.#value;
    this.#value = value === '' ? null : value;
    return isNew;
  }

  /** It was refused. Whether there is another one to be tried, which it is from now on. */
  fallBack(): boolean {
    const known = this.#kept.get(TOKEN_NAME);
    if (this.#value === this.#kept.get(GIVEN_NAME)) this.#kept.remove(GIVEN_NAME);
    if (this.#value !== this.#given || known === null || known === this.#value) return false;
    this.#given = null;
    this.#value = known;
    return true;
  }

  #keepGiven(given: string): void {
    this.#given = given;
    const known = this.#kept.get(TOKEN_NAME);
    if (known === null) this.#kept.set(TOKEN_NAME, given);
    else if (known !== given) this.#kept.set(GIVEN_NAME, given);
  }

  /** It is the right one. */
  remember(): void {
    this.#kept.remove(GIVEN_NAME);
    if (this.#value !== null && this.#kept.get(TOKEN_NAME) !== this.#value)
      this.#kept.set(TOKEN_NAME, this.#value);
  }
}

/** Takes it out of the address, and leaves there what else its fragment says, or what was there `before`. */
function tokenInAddress({ address }: Pick<Parts, 'address'>, before = ''): string | null {
  const members = address.fragment().split('&');
  const given = members.find((member) => member.startsWith('token='));
  if (given === undefined) return null;
  const rest = members.filter((member) => member !== given).join('&');
  address.replaceFragment(rest === '' && !before.startsWith('token=') ? before : rest);
  try {
    const token = decodeURIComponent(given.slice('token='.length)).trim();
    return token === '' ? null : token;
  } catch {
    return null;
  }
}
