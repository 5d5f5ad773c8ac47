/** The pieces of one long fence, as the one code that they are. */
import type { Row } from '../client/contract.ts';

/** The whole code of the fence whose first piece has that key, as far as it is among the rows; '' when it is not. */
export function fenceCode(rows: readonly Row[], key: string): string {
  const pieces = rows.map((row) =>
    row.type === 'block' && row.block.fence?.key === key ? row.block.fence.code : '',
  );
  // the last line's end is the fence's, and no line of the code
  return pieces.join('').replace(/\r?\n$/u, '');
}
