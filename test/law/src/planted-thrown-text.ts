// expects: typescript(only-throw-error)
export function planted(): never {
  throw 'text';
}
