/** The full disk that runs and tests make: it is full, and it is never left full. Others use the same disk meanwhile. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { onTestFinished, test } from 'vitest';

import { watchRoom } from '../../src/store/disk-room.ts';
import { Ballast } from '../support/ballast.ts';
import { eventually } from '../support/eventually.ts';

/** Enough to be seen, too little to disturb anybody. */
const share = 0.05;

function newBallast(): Ballast {
  const ballast = new Ballast({ share });
  onTestFinished(() => ballast.remove());
  return ballast;
}

test('the disk is full as Holdfast sees it, has room again, and can be filled again', async () => {
  const ballast = newBallast();
  const { reserveBytes } = ballast;
  const room = watchRoom({ folders: [ballast.folder], reserveBytes });
  for (let round = 0; round < 2; round += 1) {
    await eventually(() => room().level === 'ample');
    await eventually(() => ballast.fill() && room().level === 'low');
    ballast.empty();
  }
  await eventually(() => ballast.fill());
  ballast.remove();
  await eventually(() => room().level === 'ample');
});

test('a process that is killed while it holds the disk full leaves room', async () => {
  const { reserveBytes, folder } = newBallast();
  const room = watchRoom({ folders: [folder], reserveBytes });
  const module = fileURLToPath(new URL('../support/ballast.ts', import.meta.url));
  const source = `import { Ballast } from ${JSON.stringify(module)};
    const ballast = new Ballast({ share: ${share * 2} });
    setInterval(() => ballast.fill(), 20);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await eventually(() => room().level === 'low');
  child.kill('SIGKILL');
  await eventually(() => room().level === 'ample');
});
