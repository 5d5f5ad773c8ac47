import { createRoot } from 'react-dom/client';

import { layout } from './app/layout.ts';
import { createClient } from './client/client.ts';

export const parts: unknown[] = [createRoot, layout, createClient];
