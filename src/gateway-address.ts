/** Where the gateway listens, written by it for those who must know and are not told: the turn hosts of its home. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Written whole. The last gateway that has come up is the one that is found. */
export function writeGatewayAddress({ file, address }: { file: string; address: string }): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const unfinished = `${file}.${process.pid}`;
  writeFileSync(unfinished, `${address}\n`, { mode: 0o600 });
  renameSync(unfinished, file);
}

/** `http://host:port`; null: no gateway has said it. It may not be running. */
export function readGatewayAddress({ file }: { file: string }): string | null {
  try {
    const address = readFileSync(file, 'utf8').trim();
    return URL.canParse(address) ? address : null;
  } catch {
    return null;
  }
}
