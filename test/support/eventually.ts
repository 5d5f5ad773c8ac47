/**
 * Waits for a fact, by looking again and again; throws when it has not come true within `withinMs`. Not a sleep: the limit is
 * for what will never be, long enough for a machine whose processor others take for half a minute.
 */
export async function eventually<T>(
  look: () => T | Promise<T>,
  withinMs = 45_000,
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const seen = await look();
      if (seen !== false && seen !== null && seen !== undefined)
        return seen as NonNullable<Exclude<T, false>>;
      last = seen;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline)
      throw new Error(
        `did not come true within ${withinMs} ms; last seen: ${String(last)}\n${look.toString()}`,
      );
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
