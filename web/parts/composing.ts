import type { KeyboardEvent } from 'react';

/** Whether a key is an input method's. Safari ends a composition before the key that ends it comes, and tells that key apart by its code alone. */
export function isComposing(event: KeyboardEvent): boolean {
  // oxlint-disable-next-line typescript/no-deprecated -- there is no other way to tell
  return event.nativeEvent.isComposing || event.keyCode === 229;
}
