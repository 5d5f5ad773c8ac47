import { useState } from 'react';
import { Virtualizer } from 'virtua';

import type { Event } from '../../src/contracts/events.ts';
import { idPattern } from '../../src/contracts/ids.ts';
import type { Handle } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';

export type Row = { handle: Handle; event: Event };
export const rows: unknown[] = [useState, Virtualizer, Button, idPattern];
