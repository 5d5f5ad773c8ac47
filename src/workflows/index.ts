/** Entry of the workflow bundle: every Workflow of this project, by its Workflow Type. */
export { conversation } from './conversation.ts';
export { table } from './table.ts';
export { trigger } from './trigger.ts';
