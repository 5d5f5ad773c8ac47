/** All panels, as one piece of code that is loaded by itself. */
export { AgentsPanel } from './agents-panel.tsx';
export { TriggersPanel } from './triggers-panel.tsx';
export { WhyPanel } from './why-panel.tsx';
