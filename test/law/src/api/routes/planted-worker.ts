// expects: law(imports)
import { Worker } from '@temporalio/worker';

export const planted = Worker;
