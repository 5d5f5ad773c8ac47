import type { Handle } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';

export type Panel = { handle: Handle };
export const panel: unknown = Button;
