/** An id that nobody has: 128 random bits. `crypto.randomUUID` is not there on a page that came over plain HTTP from elsewhere. */
export function freshId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
