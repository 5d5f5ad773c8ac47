import './styles/tokens.css';
import './styles/base.css';
import './styles/parts.css';
import './styles/app.css';
import './styles/panels.css';
import { createRoot } from 'react-dom/client';

import { App } from './app/app.tsx';
import { createPlace } from './app/place.ts';
import { createTheme } from './app/theme.ts';
import { createClient } from './client/client.ts';
import { wantTheRest } from './parts/later.ts';

const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no #root');
// the client comes first: a token in the address is its to take, before anything reads a place there
const client = createClient();
createRoot(root).render(<App client={client} place={createPlace(window)} theme={createTheme()} />);

/** When the first paint and what it needs are through. */
const QUIET_MS = 1_500;
setTimeout(wantTheRest, QUIET_MS);
