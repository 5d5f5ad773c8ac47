import { expect, test } from 'vitest';

import { findCopies } from '../../scripts/single-copy.ts';

test('one copy of each, one version in a scope: nothing to say', () => {
  const packages = {
    '': {},
    'node_modules/@temporalio/client': { version: '1.24.0' },
    'node_modules/@temporalio/common': { version: '1.24.0' },
    'node_modules/left-pad': { version: '1.0.0' },
    'node_modules/typebox': { version: '1.4.3' },
    'node_modules/x/node_modules/left-pad': { version: '2.0.0' },
  };
  expect(findCopies({ packages })).toEqual([]);
});

test('two copies are named with both places, even of one version', () => {
  const packages = {
    'node_modules/typebox': { version: '1.4.3' },
    'node_modules/x/node_modules/typebox': { version: '1.4.3' },
  };
  expect(findCopies({ packages })).toEqual([
    'typebox is there 2 times: node_modules/typebox 1.4.3, node_modules/x/node_modules/typebox 1.4.3',
  ]);
});

test('two versions in the scope of the SDK are named', () => {
  const packages = {
    'node_modules/@temporalio/client': { version: '1.24.0' },
    'node_modules/@temporalio/common': { version: '1.23.0' },
  };
  expect(findCopies({ packages })).toEqual([
    '@temporalio/* has several versions: node_modules/@temporalio/client 1.24.0, node_modules/@temporalio/common 1.23.0',
  ]);
});
