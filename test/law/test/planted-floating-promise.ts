// expects: typescript(no-floating-promises)
export function planted(): void {
  Promise.resolve();
}
