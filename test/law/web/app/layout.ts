import type { Handle } from '../client/contract.ts';
import { rows } from '../conversation/rows.ts';
import { panel } from '../panels/panel.ts';

export type Layout = { handle: Handle };
export const layout: unknown[] = [rows, panel];
