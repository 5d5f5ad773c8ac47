// expects: law(imports)
import { sleep } from '@temporalio/workflow/lib/workflow';

export const planted: unknown = sleep;
