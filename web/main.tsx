// oxlint-disable-next-line import/no-unassigned-import -- for its effect: the engine is asked while the rest is being evaluated
import './opening.ts';
import './styles/tokens.css';
import './styles/base.css';
import './styles/parts.css';
import './styles/app.css';
import './styles/panels.css';
import { createRoot } from 'react-dom/client';

import { App } from './app/app.tsx';
import { createTheme } from './app/theme.ts';
import { client, place } from './opening.ts';
import { wantTheRest } from './parts/later.ts';

const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no #root');
createRoot(root).render(<App client={client} place={place} theme={createTheme()} />);

/** When the first paint and what it needs are through. */
const QUIET_MS = 1_500;
setTimeout(wantTheRest, QUIET_MS);
